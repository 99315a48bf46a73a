# SPDX-License-Identifier: GPL-2.0-only
"""Capabilities that are enabled before a VM has memory or a vCPU. Some can only be enabled then."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import KvmProgram
from suites.events.events import enable_every_cap

_ARGUMENTS = (0, 1, 3, 0x1000, 0x1_0000, 0x20_0000)
"""Off, on, two flags, and sizes of a dirty ring and of blocks."""


def _psci_version(kvm: Kvm) -> int:
    with kvm.create_vm() as vm:
        return vm.vcpu.get_reg(PSCI_VERSION)


@pytest.mark.clause("DEFAULT-1", "EVENT-1", "EVENT-2", "EVENT-3")
@pytest.mark.parametrize("argument", _ARGUMENTS, ids=hex)
@pytest.mark.parametrize("when", ["before_vcpu", "before_memory"])
def test_capabilities(when: str, argument: int, registers: tuple[Register, ...], kvm: Kvm) -> None:
    """They change neither the registers, which stay writable, nor PSCI_VERSION.

    before_vcpu: the first vCPU has reset values. before_memory: a vCPU has empty registers while they are enabled.
    """
    p, comparison, what = KvmProgram(), Comparison(), f"after every KVM_ENABLE_CAP with {argument:#x}, {when}"
    vm = p.create_vm(kvm.fd, kvm.vm_type)
    if when == "before_vcpu":
        enable_every_cap(p, vm, argument)
    vcpu = p.create_vcpu(vm, 0)
    init = p.init_vcpu(vcpu, p.prepare_init(vm, PSCI_0_2)[1])
    values = {r.name: r.reset for r in registers}
    if when == "before_memory":
        values = dict.fromkeys(values, 0)
        for register in registers:
            p.set_reg(vcpu, p.one_reg(register, 0))
        enable_every_cap(p, vm, argument)
    reads = [(r, p.get_reg(vcpu, p.one_reg(r))) for r in registers]
    psci = p.get_reg(vcpu, p.one_reg(PSCI_VERSION))
    writes = [(r, v, p.set_reg(vcpu, p.one_reg(r, v))) for r in registers for v in r.subsets()]
    for fd in (vcpu, vm):
        p.close(fd)
    answer = kvm.subject.run(p)
    comparison.error(f"KVM_ARM_VCPU_INIT {what}", 0, answer[init].errno)
    for register, read in reads:
        comparison.value(f"{register.name} {what}", values[register.name], read.value(answer))
    comparison.value(f"PSCI_VERSION {what}", _psci_version(kvm), psci.value(answer))
    for register, value, done in writes:
        comparison.error(f"{register.name} = {value:#x} {what}", 0, answer[done].errno)
    comparison.done()
