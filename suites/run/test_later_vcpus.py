# SPDX-License-Identifier: GPL-2.0-only
"""vCPUs that are created or initialised late, or initialised again, share the VM's registers."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.guest_layout import MEMORY_IPA
from helpers.kvm import PSCI_0_2
from helpers.smccc import Call
from suites.conftest import MakeVm
from suites.run.runs import power_off
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view

HELD = pytest.mark.parametrize("held", ["empty", "full"])
WHEN = pytest.mark.parametrize("when", ["before_run", "after_run"])
CPU_ON = 0xC4000003


@WHEN
@HELD
@pytest.mark.clause("RUN-7")
@pytest.mark.parametrize("late", ["made", "initialised"])
def test_late_vcpu(
    late: str, held: str, when: str, registers: tuple[Register, ...], contract: Probe, make_vm: MakeVm
) -> None:
    """A vCPU that is created or initialised after the registers were written, before or after KVM_RUN of the other."""
    vm = make_vm()
    if late == "initialised":
        vm.create_vcpu(features=None)
    values, comparison = fill(vm, registers, held), Comparison()
    if when == "after_run":
        vm.vcpu.try_run()
    if late == "made":
        vm.create_vcpu()
    else:
        comparison.error("KVM_ARM_VCPU_INIT", 0, vm.vcpus[1].try_init())
    text = f"with vCPU 1 {late} {when.replace('_', ' ')}"
    if when == "before_run":
        compare_open(comparison, vm.vcpus, registers, values, text)
    else:
        # Compare before the late vCPU runs, because its KVM_RUN locks the registers in any case.
        compare_fixed(comparison, vm.vcpus, registers, values, text)
    if late == "made" and when == "after_run" and not contract.late_vcpus:
        comparison.error(f"KVM_RUN {text}, on protected KVM", EINVAL, vm.vcpus[1].try_run())
    else:
        compare_view(comparison, vm.vcpus[1], contract, values, text)
    compare_fixed(comparison, vm.vcpus, registers, values, f"{text}, and run")
    comparison.done()


@WHEN
@HELD
@pytest.mark.clause("RUN-8")
@pytest.mark.parametrize("again", [0, 1], ids=["vcpu0_again", "vcpu1_again"])
def test_initialised_again(
    again: int, held: str, when: str, registers: tuple[Register, ...], contract: Probe, make_vm: MakeVm
) -> None:
    """Repeated KVM_ARM_VCPU_INIT, accepted or refused, of either vCPU changes neither the registers nor the lock."""
    vm = make_vm(2)
    values, comparison, vcpu = fill(vm, registers, held), Comparison(), vm.vcpus[again]
    if when == "after_run":
        vm.vcpu.try_run()
        # Completes the guest's last store. Otherwise the next KVM_RUN after INIT does, and skips an instruction.
        vm.vcpu.immediate_exit()
    for features, error in ((PSCI_0_2, 0), ((), EINVAL), (PSCI_0_2, 0)):
        comparison.error(f"KVM_ARM_VCPU_INIT again with features {features}", error, vcpu.try_init(features))
        text = f"after KVM_ARM_VCPU_INIT again with features {features}, {when.replace('_', ' ')}"
        if when == "before_run":
            compare_open(comparison, vm.vcpus, registers, values, text)
        else:
            compare_fixed(comparison, vm.vcpus, registers, values, text)
    compare_view(comparison, vcpu, contract, values, "after KVM_ARM_VCPU_INIT three times")
    compare_fixed(comparison, vm.vcpus, registers, values, "after KVM_ARM_VCPU_INIT three times")
    comparison.done()


@HELD
@pytest.mark.clause("RUN-8")
def test_owed_reset(held: str, registers: tuple[Register, ...], contract: Probe, make_vm: MakeVm) -> None:
    """PSCI CPU_ON of a vCPU: the next ONE_REG does the pending reset, which changes no register."""
    vm = make_vm(2)
    values, comparison = fill(vm, registers, held), Comparison()
    power_off(vm.vcpus[1])
    result = guests.call(vm.vcpu, Call(CPU_ON, (1, MEMORY_IPA, 0)))
    comparison.value("x0 of CPU_ON for vCPU 1", 0, result.x[0])
    compare_fixed(comparison, [vm.vcpus[1], vm.vcpu], registers, values, "after CPU_ON")
    compare_view(comparison, vm.vcpus[1], contract, values, "on the vCPU that was turned on")
    compare_fixed(comparison, vm.vcpus, registers, values, "after it ran")
    comparison.done()
