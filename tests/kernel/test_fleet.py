# SPDX-License-Identifier: GPL-2.0-only
"""VMs with a fleet's settings migrate between real kernels both ways, and fail as predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from helpers import build, guests
from helpers.discovery.probe import probe
from helpers.discovery.registers import survey, survey_firmware, survey_others
from helpers.discovery.services import survey_services
from helpers.identity import SubjectId
from helpers.kvm import Kvm, Vm
from helpers.progress import Progress
from helpers.results.columns import columns
from helpers.results.fleet import Action, Fleet, FleetPair, fleet_of
from helpers.results.records import SubjectInfo, serves_smc
from helpers.subjects import choose
from helpers.uapi.notation import RegisterId, error_name
from helpers.uapi.system_registers import vcpu_register_name
from suites.migration.conftest import VCPUS, see
from suites.migration.state import restore, save
from suites.support.calls import SMC
from tests.support.reports import log_of

KERNELS = "debian:bookworm", "debian:sid"
"""Their PSCI versions, bitmap registers and system registers differ, and only the second one serves SMC calls."""


@pytest.fixture
def machines() -> Iterator[dict[str, Kvm]]:
    build.build_all()
    image = guests.load_image(build.GUEST)
    machines = {}
    for name in KERNELS:
        machines[name] = Kvm(choose.make_subject(SubjectId(name), choose.Means(None, Progress())), image)
    yield machines
    for kvm in machines.values():
        kvm.subject.close()


def _fleet(machines: dict[str, Kvm]) -> Fleet:
    infos = []
    for name, kvm in machines.items():
        known = probe(kvm)
        services, firmware = survey_services(kvm, known), survey_firmware(kvm, known)
        info = SubjectInfo(SubjectId(name), known.dialect.name, {}, (), survey(kvm, known), services, firmware)
        infos.append(replace(info, other_registers=dict(survey_others(kvm))))
    log = log_of(subjects=tuple(info.subject for info in infos), infos=tuple(infos))
    return fleet_of([("log", column) for column in columns([log])])


def _vm(kvm: Kvm, fleet: Fleet, host: str) -> Vm:
    vm = kvm.create_vm(VCPUS)
    for each in fleet.settings:
        if each.value is not None and host in each.defaults:
            vm.vcpu.set_reg(RegisterId(each.register, each.id), each.value)
    return vm


def _migrate(machines: dict[str, Kvm], fleet: Fleet, pair: FleetPair) -> None:
    by_name = {host.name: host.info for host in fleet.hosts}
    smc = [serves_smc(by_name[name].services) for name in (pair.source, pair.destination)]
    both_smc = all(smc)
    omitted = {each.id for each in fleet.settings if each.action is Action.OMIT}
    with (
        _vm(machines[pair.source], fleet, pair.source) as old,
        _vm(machines[pair.destination], fleet, pair.destination) as new,
    ):
        before = see(old.vcpu), see(old.vcpu, SMC) if both_smc else {}
        old.vcpu.immediate_exit()
        saved = save(old)
        state = replace(saved, vcpus=tuple(tuple(r for r in vcpu if r[0] not in omitted) for vcpu in saved.vcpus))
        errors = restore(new, state)[0]
        after = see(new.vcpu), see(new.vcpu, SMC) if both_smc else {}
    assert _refused(fleet, errors) - {(name, "EINVAL") for name in pair.differing} == _predicted(pair), pair
    changes = {name for was, now in zip(before, after, strict=True) for name in was if was[name] != now[name]}
    assert changes <= {text.partition(":")[0] for text in pair.seen}, pair
    assert ("SMC calls" in {text.partition(":")[0] for text in pair.seen}) is (smc[0] != smc[1]), pair


def _refused(fleet: Fleet, errors: dict[int, int]) -> set[tuple[str, str]]:
    names = {each.id: each.register for each in fleet.settings}
    return {(names.get(i) or vcpu_register_name(i), error_name(error)) for i, error in errors.items() if error}


def _predicted(pair: FleetPair) -> set[tuple[str, str]]:
    return {(name.partition(" = ")[0], error) for name, error in pair.refused}


def test_vms_with_the_settings_migrate_both_ways(machines: dict[str, Kvm]) -> None:
    fleet = _fleet(machines)
    assert not any(host.missing for host in fleet.hosts)
    for pair in fleet.pairs:
        _migrate(machines, fleet, pair)
