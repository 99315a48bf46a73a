# SPDX-License-Identifier: GPL-2.0-only
"""VMs saved on the source, which is the kernel under test itself or, with several kernels, each of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.migration import VIEW, X, values_at
from helpers.contract.probe import Probe, probe
from helpers.kvm import Kvm, Vcpu
from suites.calls import call_of
from suites.migration.state import Saved, save

VCPUS = 2


@dataclass(frozen=True)
class Snapshot:
    """A VM in its life: what its registers held by name and by id, its state, and what its guest saw."""

    values: dict[str, int]
    by_id: dict[int, int]
    saved: Saved
    view: dict[str, X]


def see(vcpu: Vcpu) -> dict[str, X]:
    """What the guest sees of the calls that the registers alone decide. Raises KvmError."""
    results = guests.calls(vcpu, [call_of(f) for f in VIEW])
    return {f.name: r.x0_3 for f, r in zip(VIEW, results, strict=True)}


def _take(kvm: Kvm, known: Probe, level: str) -> Snapshot:
    values = values_at(level, known.registers)
    with kvm.create_vm(VCPUS) as vm:
        if level != "default":
            vm.vcpu.set_regs([(r, values[r.name]) for r in known.registers])
        view = see(vm.vcpu)
        # The store that the guest left with has to be completed before its state is whole.
        vm.vcpu.immediate_exit()
        return Snapshot(values, {r.id: values[r.name] for r in known.registers}, save(vm), view)


Taken = tuple[Probe, Snapshot]
Take = Callable[[str], Taken]


@pytest.fixture(scope="session")
def taken() -> dict[tuple[str, str], Taken]:
    """What was saved so far, by kernel and level."""
    return {}


@pytest.fixture
def take(source: str, source_kvm: Callable[[], Kvm], taken: dict[tuple[str, str], Taken]) -> Take:
    """Saves a VM of the source at a level; asked again, it answers from the first time."""

    def at(level: str) -> Taken:
        if (source, level) not in taken:
            kvm = source_kvm()
            known = next((p for (label, _), (p, _) in taken.items() if label == source), None) or probe(kvm)
            taken[source, level] = known, _take(kvm, known, level)
        return taken[source, level]

    return at
