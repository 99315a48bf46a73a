# SPDX-License-Identifier: GPL-2.0-only
"""The contract's functions as calls in a given form, and VMs put into a given situation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.contract.functions import Function, Situation
from helpers.contract.registers import Register
from helpers.kvm import KvmError, Vm
from helpers.smccc import Call, Conduit
from helpers.uapi import kvm as uapi

GARBAGE = (0x1111_1111_DEAD_0001, 0x2222_2222_DEAD_0002, 0x3333_3333_DEAD_0003, 0x4444_4444_DEAD_0004,
           0x5555_5555_DEAD_0005, 0x6666_6666_DEAD_0006, 0x7777_7777_DEAD_0007)  # fmt: skip
"""Fills the argument registers that a call does not read, so that an answer that leaves one as it was shows."""


@dataclass(frozen=True)
class Form:
    """How a call is made: the instruction, and what stands in the upper half of x0."""

    name: str
    conduit: Conduit
    upper: int = 0

    def served(self, smc: bool) -> bool:
        """Whether KVM takes it for an SMCCC call; ``smc``: whether it serves SMC. HVC's immediate counts nothing."""
        return self.conduit not in (Conduit.SMC_1, Conduit.SMC_FFFF) and (smc or self.conduit is not Conduit.SMC)


HVC, SMC = Form("HVC", Conduit.HVC), Form("SMC", Conduit.SMC)
CONDUITS = (HVC, SMC)


def call_of(function: Function, form: Form = HVC) -> Call:
    """The call, with garbage where it takes no argument."""
    return Call(form.upper | function.id, (*function.args, *GARBAGE[len(function.args) :]), form.conduit)


def set_pv_time(vm: Vm, ipa: int) -> None:
    """Gives the first vCPU a stolen-time area. Raises KvmError."""
    error = vm.vcpu.try_set_attr(uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA, ipa)
    if error:
        raise KvmError(f"KVM_ARM_VCPU_PVTIME_IPA = {ipa:#x} failed with errno {error}")


def hold(vm: Vm, registers: tuple[Register, ...], situation: Situation) -> None:
    """Puts a VM into a situation. Raises KvmError."""
    vm.vcpu.set_regs([(r, situation.values[r.name]) for r in registers])
    if situation.pv_time_ipa is not None:
        set_pv_time(vm, situation.pv_time_ipa)


LEVELS = ("full", "empty")
At = Callable[[str, bool], Situation]
VmAt = Callable[[Situation], Vm]
"""What suites/conftest.py's fixtures of these names give."""
