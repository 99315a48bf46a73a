# SPDX-License-Identifier: GPL-2.0-only
"""VMs saved on the source: the kernel under test or, with several kernels, each of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.features import Probe
from helpers.contract.migration import WHOLE_VIEW, MigrationEffects, X, changed, lost, values_at
from helpers.contract.neighbours import PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.discovery.probe import probe
from helpers.identity import MigrationId, SubjectId
from helpers.kvm import Kvm, Vcpu
from helpers.subjects.base import Subject
from helpers.uapi.system_registers import vcpu_register_name
from suites.migration.state import Saved, restore, save
from suites.support.calls import HVC, SMC, Form, call_of

VCPUS = 2


@dataclass(frozen=True)
class Snapshot:
    """A saved VM: its registers by name and by id, its state, and its guest's answers.

    ``smc_view`` is empty if the kernel does not serve SMC calls.
    """

    values: dict[str, int]
    by_id: dict[int, int]
    saved: Saved
    view: dict[str, X]
    smc_view: dict[str, X]


def see(vcpu: Vcpu, form: Form = HVC) -> dict[str, X]:
    """The answers to the calls of WHOLE_VIEW by name. Raises KvmError."""
    results = guests.calls(vcpu, [call_of(f, form) for f in WHOLE_VIEW])
    return {f.name: r.x0_3 for f, r in zip(WHOLE_VIEW, results, strict=True)}


def _take(kvm: Kvm, known: Probe, level: str) -> Snapshot:
    values = values_at(level, known.registers)
    with kvm.create_vm(VCPUS) as vm:
        if level != "default":
            vm.vcpu.set_regs([(r, values[r.name]) for r in known.registers])
        view, smc_view = see(vm.vcpu), see(vm.vcpu, SMC) if known.smc else {}
        # Completes the guest's last store, which exited to user space, before the state is saved.
        vm.vcpu.immediate_exit()
        return Snapshot(values, {r.id: values[r.name] for r in known.registers}, save(vm), view, smc_view)


Taken = tuple[Probe, Snapshot]
Take = Callable[[str], Taken]


@pytest.fixture(scope="session")
def taken() -> dict[tuple[SubjectId, str], Taken]:
    """The saved VMs, by kernel and level."""
    return {}


@pytest.fixture
def take(
    source: SubjectId,
    source_kvm: Callable[[], Kvm],
    taken: dict[tuple[SubjectId, str], Taken],
    subject: Subject,
    contract: Probe,
) -> Take:
    """Saves a VM of the source at a level once. Later calls return the same Snapshot."""

    def at(level: str) -> Taken:
        if (source, level) not in taken:
            kvm = source_kvm()
            before = next((p for (kernel, _), (p, _) in taken.items() if kernel == source), None)
            known = contract if source == subject.id else before or probe(kvm)
            taken[source, level] = known, _take(kvm, known, level)
        return taken[source, level]

    return at


@pytest.fixture(scope="session")
def effects() -> dict[MigrationId, MigrationEffects]:
    """The effects of migration so far, by pair."""
    return {}


@pytest.fixture(autouse=True)
def _describe(request: pytest.FixtureRequest, subject: Subject, effects: dict[MigrationId, MigrationEffects]) -> None:
    """If the source is another kernel, records the effects of migration for the pair's verdict."""
    if "source" not in request.fixturenames or request.getfixturevalue("source") == subject.id:
        return
    pair = MigrationId(request.getfixturevalue("source"), subject.id)
    if pair not in effects:
        take: Take = request.getfixturevalue("take")
        effects[pair] = _migrate(request.getfixturevalue("kvm"), request.getfixturevalue("contract"), take("default"))
    request.node.user_properties.append(("environment", {"migration": str(effects[pair])}))


def _migrate(kvm: Kvm, here: Probe, taken: Taken) -> MigrationEffects:
    known, snapshot = taken
    names = {r.id: r.name for r in (PSCI_VERSION, *(w.register for w in WORKAROUND_REGISTERS))}
    names |= {r.id: r.name for r in known.registers}
    with kvm.create_vm(VCPUS) as vm:
        errors = restore(vm, snapshot.saved)[0]
        now, smc_now = see(vm.vcpu), see(vm.vcpu, SMC) if known.smc and here.smc else {}
    refused = {i: error for i, error in errors.items() if error}
    return MigrationEffects(
        tuple((names[i], snapshot.saved.value(i) or 0, error) for i, error in refused.items() if i in names),
        tuple((vcpu_register_name(i), error) for i, error in refused.items() if i not in names),
        changed(snapshot.view, now),
        changed(snapshot.smc_view, smc_now) if smc_now else (),
        (known.smc, here.smc),
        lost(known, here, values_at("full", known.registers)),
    )
