# SPDX-License-Identifier: GPL-2.0-only
"""The registers' reset values, and which VM and vCPUs they belong to."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.registers import Register
from helpers.smccc import Call
from suites.conftest import MakeVm


@pytest.mark.clause("DEFAULT-1")
def test_reset_value(register: Register, make_vm: MakeVm) -> None:
    """A fresh VM's register holds its reset value."""
    comparison = Comparison()
    for number in (1, 2):
        value, _ = make_vm().vcpu.try_get_reg(register)
        comparison.value(f"{register.name} of fresh VM {number}", register.reset, value)
    comparison.done()


@pytest.mark.clause("DEFAULT-1")
def test_reset_value_after_run(register: Register, make_vm: MakeVm) -> None:
    """KVM_RUN does not change the reset value."""
    vm = make_vm()
    guests.call(vm.vcpu, Call(0x80000000))
    value, _ = vm.vcpu.try_get_reg(register)
    comparison = Comparison()
    comparison.value(f"{register.name} after KVM_RUN", register.reset, value)
    comparison.done()


@pytest.mark.clause("DEFAULT-2")
def test_vms_do_not_share(register: Register, make_vm: MakeVm) -> None:
    """A write in one VM changes no VM that was created before it or after it."""
    before, written = make_vm(), make_vm()
    comparison = Comparison()
    for value in register.subsets():
        written.vcpu.set_reg(register, value)
        after = make_vm()
        for name, vm, expected in (
            ("the VM created before", before, register.reset),
            ("the VM created after", after, register.reset),
            ("the written VM", written, value),
        ):
            got, _ = vm.vcpu.try_get_reg(register)
            comparison.value(f"{register.name} of {name}, after a write of {value:#x}", expected, got)
    comparison.done()


@pytest.mark.clause("DEFAULT-2", "LOCK-1")
def test_run_of_one_vm_locks_no_other(register: Register, make_vm: MakeVm) -> None:
    """KVM_RUN locks the registers of its VM only."""
    ran, other = make_vm(), make_vm()
    guests.call(ran.vcpu, Call(0x80000000))
    comparison = Comparison()
    for value in register.subsets():
        comparison.error(
            f"{register.name} = {value:#x} in a VM that has not run", 0, other.vcpu.try_set_reg(register, value)
        )
        got, _ = other.vcpu.try_get_reg(register)
        comparison.value(f"{register.name} in that VM", value, got)
    comparison.done()


@pytest.mark.clause("DEFAULT-3")
def test_every_vcpu_sees_the_same(register: Register, make_vm: MakeVm) -> None:
    """A value that is written through one vCPU reads back through each one."""
    vm = make_vm(3)
    comparison = Comparison()
    batch = vm.batch()
    reads = []
    for writer in vm.vcpus:
        for value in register.subsets():
            batch.set(writer, register, value)
            reads += [(writer, value, reader, batch.get(reader, register)) for reader in vm.vcpus]
    batch.run()
    for writer, value, reader, read in reads:
        what = f"{register.name} read through vCPU {reader.index} after {value:#x} through vCPU {writer.index}"
        comparison.value(what, value, read.value)
    comparison.done()


@pytest.mark.clause("DEFAULT-3")
def test_every_vcpu_sees_the_default(register: Register, make_vm: MakeVm) -> None:
    """The register reads its reset value through each vCPU."""
    comparison = Comparison()
    for vcpu in make_vm(3).vcpus:
        value, _ = vcpu.try_get_reg(register)
        comparison.value(f"{register.name} through vCPU {vcpu.index}", register.reset, value)
    comparison.done()
