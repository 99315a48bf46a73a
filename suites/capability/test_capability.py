# SPDX-License-Identifier: GPL-2.0-only
"""The capability, the register list, and discovery by a VMM."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe, is_bitmap_id
from helpers.contract.registers import Register
from helpers.kvm import Kvm, Vm
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm


def _promised(contract: Probe) -> int:
    """The value of capability 207: the number of registers with the RFC's interface, 0 on every other kernel."""
    return len(contract.registers) if contract.dialect.capability else 0


@pytest.mark.clause("CAP-1")
@pytest.mark.parametrize("on", ["dev_kvm", "vm_fd"])
def test_check_extension(on: str, kvm: Kvm, make_vm: MakeVm, contract: Probe) -> None:
    """KVM_CHECK_EXTENSION(207) returns the dialect's value, with and without other VMs."""
    check_extension = kvm.check_extension if on == "dev_kvm" else make_vm().check_extension
    comparison = Comparison()
    for others in range(3):
        number = check_extension(uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP)
        what = f"KVM_CHECK_EXTENSION(207) on {on} ({contract.dialect.name}), with {others} other VMs"
        comparison.value(what, _promised(contract), number)
        make_vm()
    comparison.done()


@pytest.mark.clause("CAP-2")
@pytest.mark.parametrize("vcpu", [0, 1], ids=["vcpu0", "vcpu1"])
def test_register_list(vcpu: int, make_vm: MakeVm, contract: Probe) -> None:
    """KVM_GET_REG_LIST lists every bitmap register of the dialect once, and no other, on each vCPU."""
    listed = [i for i in make_vm(2).vcpus[vcpu].reg_list() if is_bitmap_id(contract.dialect, i)]
    expected = [r.id for r in contract.registers]
    assert sorted(listed) == sorted(expected), (
        f"KVM_GET_REG_LIST on vCPU {vcpu}: expected {[f'{i:#x}' for i in expected]}, "
        f"actual {[f'{i:#x}' for i in listed]}"
    )


@pytest.mark.clause("CAP-1", "CAP-2")
def test_count_agrees_with_list(make_vm: MakeVm, kvm: Kvm, contract: Probe) -> None:
    """The value of capability 207 is the number of listed bitmap registers."""
    listed = [i for i in make_vm().vcpu.reg_list() if is_bitmap_id(contract.dialect, i)]
    count = kvm.check_extension(uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP)
    expected = len(listed) if contract.dialect.capability else 0
    assert count == expected, f"KVM_CHECK_EXTENSION(207): expected {expected}, actual {count}; {len(listed)} are listed"


def _listed(vm: Vm, registers: tuple[Register, ...]) -> list[Register]:
    ids = vm.vcpu.reg_list()
    return [r for r in registers if r.id in ids]


@pytest.mark.clause("CAP-3")
def test_vmm_discovery(make_vm: MakeVm, registers: tuple[Register, ...]) -> None:
    """A VMM lists the registers, reads each one, and writes the values back, which changes nothing."""
    vm = make_vm()
    found = _listed(vm, registers)
    assert [r.name for r in found] == [r.name for r in registers], (
        f"listed registers: expected {[r.name for r in registers]}, actual {[r.name for r in found]}"
    )
    before = vm.vcpu.get_regs(found)
    vm.vcpu.set_regs(list(zip(found, before, strict=True)))
    assert vm.vcpu.get_regs(found) == before, "writing back the values that were read changed a register"
