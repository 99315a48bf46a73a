# SPDX-License-Identifier: GPL-2.0-only
"""VMs with other features, many vCPUs, alone and beside VMs that have run: their registers do not depend on it."""

from __future__ import annotations

import errno
from itertools import combinations, product

import pytest

from helpers import guests
from helpers.contract.arguments import NEAR_MISSES
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED
from helpers.contract.registers import Register
from helpers.kvm import PSCI_0_2, Kvm, Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.support.features import complete
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view

_PMU, _SVE = (uapi.KVM_ARM_VCPU_PMU_V3,), (uapi.KVM_ARM_VCPU_SVE,)
_POINTER_AUTHENTICATION = (uapi.KVM_ARM_VCPU_PTRAUTH_ADDRESS, uapi.KVM_ARM_VCPU_PTRAUTH_GENERIC)
_32_BIT = (uapi.KVM_ARM_VCPU_EL1_32BIT,)
_OPTIONAL = {
    uapi.KVM_CAP_ARM_PMU_V3: _PMU,
    uapi.KVM_CAP_ARM_SVE: _SVE,
    uapi.KVM_CAP_ARM_PTRAUTH_ADDRESS: _POINTER_AUTHENTICATION,
}
_FORWARDED = 0x86001000
"""The id of no function."""
_MANY = 8
"""As many vCPUs as a VM with a GICv2 can have."""


def _combinations(kvm: Kvm) -> list[tuple[int, ...]]:
    """All and all but one of the host's features, and some with 32-bit guests. suites/events has PSCI_0_2 and none."""
    host = (PSCI_0_2, *(features for capability, features in _OPTIONAL.items() if kvm.check_extension(capability)))
    groups = [group for size in (len(host) - 1, len(host)) for group in combinations(host, size)]
    groups += [(_32_BIT,), (PSCI_0_2, _32_BIT), (PSCI_0_2, _PMU, _32_BIT)]
    return [tuple(sorted(sum(group, ()))) for group in groups]


def _firmware(vm: Vm) -> list[int]:
    """The firmware registers of KVM_GET_REG_LIST."""
    classes = (uapi.KVM_REG_ARM_FW, uapi.KVM_REG_ARM_FW_FEAT_BMAP)
    return sorted(each for each in vm.vcpu.reg_list() if each & uapi.KVM_REG_ARM_COPROC_MASK in classes)


def _hexes(numbers: list[int]) -> str:
    return " ".join(map(hex, numbers))


@pytest.mark.clause("CAP-2", "LIST-1", "CALL-7", "DEFAULT-1", "LIMIT-1", "LOCK-1", "LOCK-6", "CALL-2", "FILTER-8")
def test_features(registers: tuple[Register, ...], kvm: Kvm, make_vm: MakeVm, contract: Probe) -> None:
    """Reset values, accepted values, lock, filter and the guest's answers do not depend on the vCPUs' features."""
    comparison, usual = Comparison(), _firmware(make_vm())
    closed = [number for number in NEAR_MISSES.values() if number not in contract.new_functions]
    for features, held in product(_combinations(kvm), ("empty", "full")):
        vm = make_vm(1, None)
        if vm.vcpu.try_init(features) == errno.EINVAL:
            continue
        when = f"with features {features} and {held} registers"
        resets = {r.name: r.reset for r in registers}
        # Its first reads give the reset values, also before KVM_ARM_VCPU_FINALIZE.
        compare_open(comparison, vm.vcpus, registers, resets, f"{when}, before the vCPU is complete")
        complete(vm.vcpus, features)
        compare_open(comparison, vm.vcpus, registers, resets, when)
        listed = _firmware(vm)
        for each in registers:
            comparison.value(f"how often KVM_GET_REG_LIST has {each.name} {when}", 1, listed.count(each.id))
        comparison.that(listed == usual, f"KVM_GET_REG_LIST's firmware registers {when}", _hexes(usual), _hexes(listed))
        values = fill(vm, registers, held)
        if contract.smccc_filter:
            vm.set_filter(_FORWARDED, 1, uapi.KVM_SMCCC_FILTER_FWD_TO_USER)
        comparison.error(f"KVM_RUN with immediate_exit {when}", errno.EINTR, vm.vcpu.immediate_exit())
        compare_fixed(comparison, vm.vcpus, registers, values, f"{when}, after KVM_RUN")
        if set(_32_BIT) <= set(features):
            continue
        compare_view(comparison, vm.vcpu, contract, values, when)
        # PSCI 0.1 has other functions.
        asked = closed if set(PSCI_0_2) <= set(features) else []
        for number, result in zip(asked, guests.calls(vm.vcpu, list(map(Call, asked))), strict=True):
            comparison.x(f"HVC {number:#x}, no function, {when}", CLOSED, result.x0_3)
        if contract.smccc_filter:
            left, _ = guests.exiting_call(vm.vcpu, Call(_FORWARDED))
            comparison.value(f"exit reason of a forwarded call {when}", uapi.KVM_EXIT_HYPERCALL, left.reason)
    comparison.done()


@pytest.mark.clause("DEFAULT-1", "LIMIT-1", "LOCK-1", "CALL-1")
def test_address_sizes(registers: tuple[Register, ...], kvm: Kvm, contract: Probe) -> None:
    """The registers and the guest's answers do not depend on the number of IPA bits, from the VM's type."""
    most, comparison = kvm.check_extension(uapi.KVM_CAP_ARM_VM_IPA_SIZE), Comparison()
    if most <= 0:
        pytest.skip("not applicable, because KVM_CAP_ARM_VM_IPA_SIZE is 0: VMs have no type")
    for bits in [each for each in (32, 36, 39, 40, 41, 42, 44, 48, 52) if each <= most]:
        with kvm.create_vm(vm_type=bits) as vm:
            when = f"of a VM with {bits} IPA bits"
            values = {r.name: r.reset for r in registers}
            compare_open(comparison, vm.vcpus, registers, values, when)
            compare_view(comparison, vm.vcpu, contract, values, when)
            compare_fixed(comparison, vm.vcpus, registers, values, f"{when}, after KVM_RUN")
    comparison.done()


def _ids(kvm: Kvm) -> tuple[int, ...]:
    """Eight ids in a row, or seven and the largest."""
    return (*range(_MANY - 1), max(_MANY - 1, kvm.check_extension(uapi.KVM_CAP_MAX_VCPUS) - 1))


@pytest.mark.clause("DEFAULT-3", "LOCK-1", "RUN-6", "CALL-1")
def test_many_vcpus(registers: tuple[Register, ...], kvm: Kvm, contract: Probe) -> None:
    """Eight vCPUs, the last one with the largest id, have the same registers, lock and answers."""
    comparison = Comparison()
    with kvm.create_vm(_ids(kvm)) as vm:
        values = {r.name: r.mask * (place % 2 == 0) for place, r in enumerate(registers)}
        vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
        compare_open(comparison, vm.vcpus, registers, values, "in a VM with eight vCPUs")
        for vcpu in (vm.vcpus[-1], vm.vcpus[-3]):
            compare_view(comparison, vcpu, contract, values, f"on vCPU {vcpu.index} of eight")
        compare_fixed(comparison, vm.vcpus, registers, values, "in a VM with eight vCPUs, after KVM_RUN")
    comparison.done()


def _compare_new(c: Comparison, vm: Vm, registers: tuple[Register, ...], contract: Probe, when: str) -> None:
    """The registers have reset values and are writable, and the guest gets their answers."""
    values = {register.name: register.reset for register in registers}
    compare_open(c, vm.vcpus, registers, values, when)
    compare_view(c, vm.vcpu, contract, values, when)


@pytest.mark.clause("DEFAULT-2")
def test_beside_vms_that_ran(registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """VMs that were created before and after another one with empty registers has run begin like any new VM."""
    comparison, older, beside = Comparison(), make_vm(), make_vm()
    fill(beside, registers, "empty")
    beside.vcpu.try_run()
    newer = [make_vm() for _ in range(2)]
    for vm, which in ((older, "an older VM"), (newer[0], "a newer VM"), (newer[1], "another newer VM")):
        _compare_new(comparison, vm, registers, contract, f"of {which}")
    comparison.done()


@pytest.mark.clause("DEFAULT-1", "DEFAULT-2", "LIMIT-1", "LOCK-1", "CALL-1", "CALL-2")
@pytest.mark.parametrize("held", ["empty", "full"])
def test_only_vm(held: str, registers: tuple[Register, ...], kvm: Kvm, contract: Probe) -> None:
    """The host's only VM, and a second one that is created after the first has run, are like any other VM.

    In all other tests an older VM exists, which has not run.
    """
    comparison = Comparison()
    with kvm.without_lasting_vm():
        with kvm.create_vm(2) as vm:
            compare_open(comparison, vm.vcpus, registers, {r.name: r.reset for r in registers}, "of the only VM")
            values = fill(vm, registers, held)
            compare_view(comparison, vm.vcpu, contract, values, "in the only VM")
            compare_fixed(comparison, vm.vcpus, registers, values, "of the only VM, after KVM_RUN")
            with kvm.create_vm() as newer:
                _compare_new(comparison, newer, registers, contract, "of a VM beside one that has run")
                compare_view(comparison, vm.vcpus[1], contract, values, "in the older of two VMs")
            compare_fixed(comparison, vm.vcpus, registers, values, "of the only VM again")
        with kvm.create_vm() as last:
            _compare_new(comparison, last, registers, contract, "of the only VM after others were closed")
    comparison.done()
