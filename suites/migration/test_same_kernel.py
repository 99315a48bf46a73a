# SPDX-License-Identifier: GPL-2.0-only
"""Restoring on the same kernel: into a new VM, at a reboot, and other values after a run."""

from __future__ import annotations

import errno

import pytest

from helpers import guests
from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.migration import (
    is_firmware_register,
    refused_others,
    show_refused,
    values_at,
    visible_services,
)
from helpers.contract.registers import Register
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm, Note
from suites.migration.conftest import VCPUS
from suites.migration.state import ORDERS, compare_restored, restore, save
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view

HELD = pytest.mark.parametrize("held", ["empty", "full"])
ORDER = pytest.mark.parametrize("order", ORDERS)
SYSTEM_RESET = 0x84000009


@ORDER
@HELD
@pytest.mark.clause("MIGRATE-1")
def test_nothing_refused(
    order: str, held: str, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe, note: Note
) -> None:
    """A new VM accepts every firmware register of a VM that has run. A refused register of another kind, such as a
    cache size on processors of two kinds, is a note."""
    old, new, comparison = make_vm(VCPUS), make_vm(VCPUS), Comparison()
    values = fill(old, registers, held)
    compare_view(comparison, old.vcpu, contract, values, "before migration")
    old.vcpu.immediate_exit()
    restored = restore(new, save(old), order)
    for index, errors in enumerate(restored):
        firmware = {number: error for number, error in errors.items() if is_firmware_register(number)}
        refused = show_refused((number, error) for number, error in firmware.items() if error)
        what = f"restoring {len(firmware)} firmware registers of vCPU {index}"
        comparison.that(bool(firmware) and not refused, what, "none refused", refused)
    others = refused_others(restored)
    if others:
        note(f"a fresh VM of the same kernel refuses registers that MIGRATE-1 does not cover: {show_refused(others)}")
    compare_open(comparison, new.vcpus, registers, values, "after migration")
    compare_view(comparison, new.vcpu, contract, values, "after migration")
    comparison.done()


@ORDER
@pytest.mark.clause("MIGRATE-3")
def test_service_too_many(order: str, register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """A saved bitmap with an unsupported bit is refused, and all others are restored."""
    old, comparison = make_vm(), Comparison()
    values = values_at("mixed", registers)
    old.vcpu.set_regs([(r, values[r.name]) for r in registers])
    saved = save(old)
    lowest = next(1 << bit for bit in range(64) if not register.mask >> bit & 1)
    for bit in (lowest, register.beyond):
        value = values[register.name] | bit
        new = make_vm()
        (errors,) = restore(new, saved.replaced({register.id: value}), order)
        for each in registers:
            wanted = EINVAL if each is register else 0
            names = ", ".join(visible_services(each, value if each is register else values[each.name])) or "no service"
            compare_restored(comparison, f"restoring {each.name} with {names}", wanted, errors, each)
            held = each.reset if each is register else values[each.name]
            comparison.value(f"{each.name} after the restore", held, new.vcpu.try_get_reg(each)[0])
    comparison.done()


@ORDER
@HELD
@pytest.mark.clause("MIGRATE-5")
def test_reboot(order: str, held: str, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """A reboot in QEMU: SYSTEM_RESET, KVM_ARM_VCPU_INIT of every vCPU, and the first state restored.

    Restoring the bitmaps succeeds although the VM has run, because they have not changed. Another value is refused.
    """
    vm, comparison = make_vm(VCPUS), Comparison()
    values = fill(vm, registers, held)
    at_first = save(vm)
    compare_view(comparison, vm.vcpu, contract, values, "before the reboot")
    reason = guests.last_call(vm.vcpu, Call(SYSTEM_RESET)).reason
    comparison.value("the exit reason of SYSTEM_RESET", uapi.KVM_EXIT_SYSTEM_EVENT, reason)
    for vcpu in vm.vcpus:
        comparison.error(f"KVM_ARM_VCPU_INIT of vCPU {vcpu.index} again", 0, vcpu.try_init())
    for index, errors in enumerate(restore(vm, at_first, order)):
        for register in registers:
            what = f"restoring {register.name} = {values[register.name]:#x} on vCPU {index} at reboot"
            compare_restored(comparison, what, 0, errors, register)
    compare_view(comparison, vm.vcpu, contract, values, "after the reboot")
    compare_fixed(comparison, vm.vcpus, registers, values, "after the reboot")
    comparison.done()


@ORDER
@HELD
@pytest.mark.clause("MIGRATE-5")
def test_restore_of_others_after_run(
    order: str, held: str, register: Register, registers: tuple[Register, ...], make_vm: MakeVm
) -> None:
    """In a VM that has run, a register with another value is refused with EBUSY, and equal values are accepted."""
    vm, comparison = make_vm(VCPUS), Comparison()
    values = fill(vm, registers, held)
    saved = save(vm).replaced({register.id: register.mask ^ values[register.name]})
    comparison.error("KVM_RUN with immediate_exit", errno.EINTR, vm.vcpu.immediate_exit())
    for index, errors in enumerate(restore(vm, saved, order)):
        for each in registers:
            what = f"restoring {each.name} on vCPU {index} after a run, {register.name} alone differing"
            compare_restored(comparison, what, EBUSY if each is register else 0, errors, each)
    compare_fixed(comparison, vm.vcpus, registers, values, "after the restore")
    comparison.done()
