# SPDX-License-Identifier: GPL-2.0-only
"""The contract's functions as calls in a given form, and VMs put into a given situation."""

from __future__ import annotations

from collections.abc import Callable

from helpers.contract.forms import CONDUITS, GARBAGE, HVC, SMC, Form
from helpers.contract.functions import Function, Situation
from helpers.contract.registers import Register
from helpers.kvm import KvmError, Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi

__all__ = ["CONDUITS", "GARBAGE", "HVC", "LEVELS", "SMC", "At", "Form", "VmAt", "call_of", "hold", "set_pv_time"]


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
