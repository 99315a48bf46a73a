# SPDX-License-Identifier: GPL-2.0-only
"""A VM that is saved on the source and restored on the kernel under test."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.migration import GUEST_VIEW, SAVED_STATES, error_of, held_after
from helpers.guest_layout import MEMORY_IPA
from helpers.kvm_program import PC
from suites.conftest import MakeVm
from suites.migration.conftest import VCPUS, Take, see
from suites.migration.state import ORDERS, compare_restored, restore
from suites.support.calls import SMC
from suites.support.held import compare_fixed, compare_open
from suites.support.view import compare_view

ORDER = pytest.mark.parametrize("order", ORDERS)
LEVEL = pytest.mark.parametrize("level", SAVED_STATES)


def _need_registers(source: Probe, destination: Probe) -> None:
    if not source.registers and not destination.registers:
        pytest.skip(
            "not applicable, because there are no hypercall bitmap registers to migrate (probed by list and read)"
        )


@ORDER
@LEVEL
@pytest.mark.clause("MIGRATE-1", "MIGRATE-3", "MIGRATE-4")
def test_registers(order: str, level: str, source: str, take: Take, make_vm: MakeVm, contract: Probe) -> None:
    """Each bitmap is accepted or refused, through each vCPU, and then reads the expected value."""
    known, snapshot = take(level)
    _need_registers(known, contract)
    vm, comparison = make_vm(VCPUS), Comparison()
    listed = vm.vcpu.reg_list()
    for vcpu, errors in zip(vm.vcpus, restore(vm, snapshot.saved, order), strict=True):
        for register in known.registers:
            value = snapshot.by_id[register.id]
            wanted = error_of(contract, listed, register.id, value)
            what = f"restoring {register.name} ({register.id:#x}) = {value:#x} on vCPU {vcpu.index}"
            if wanted is not None:
                compare_restored(comparison, what, wanted, errors, register)
    after = held_after(contract, snapshot.by_id)
    if after:
        compare_open(comparison, vm.vcpus, contract.registers, after, f"after the {level} registers of {source}")
    comparison.done()


@ORDER
@LEVEL
@pytest.mark.clause("MIGRATE-2")
def test_guest_goes_on(order: str, level: str, source: str, take: Take, make_vm: MakeVm, contract: Probe) -> None:
    """The guest continues, and gets the answers of the restored registers: the same as before if all were restored."""
    known, snapshot = take(level)
    _need_registers(known, contract)
    vm, comparison = make_vm(VCPUS), Comparison()
    restore(vm, snapshot.saved, order)
    at = vm.vcpu.get_reg(PC)
    comparison.that(at != MEMORY_IPA, "the guest's pc", "an address after the entry", f"{at:#x}")
    after, when = held_after(contract, snapshot.by_id), f"after migration from {source}, {level} registers"
    if contract.registers:
        compare_view(comparison, vm.vcpu, contract, after, when)
        compare_fixed(comparison, vm.vcpus, contract.registers, after, f"{when}, after the guest continued")
    if known.dialect is contract.dialect and after == snapshot.values:
        views = [("HVC", snapshot.view, see(vm.vcpu))]
        if known.smc and contract.smc:
            views.append(("SMC", snapshot.smc_view, see(vm.vcpu, SMC)))
        for conduit, before, now in views:
            for function in GUEST_VIEW:
                comparison.x(f"{conduit} {function.name} {when}", before[function.name], now[function.name])
    comparison.done()
