# SPDX-License-Identifier: GPL-2.0-only
"""The contract's functions as calls in a given form, and VMs in a given situation."""

from __future__ import annotations

from collections.abc import Callable

from helpers.contract.calling_forms import CONDUITS, GARBAGE, HVC, INSTRUCTIONS, SMC, Form
from helpers.contract.functions import Function, Situation
from helpers.contract.registers import Register
from helpers.guests import set_pv_time
from helpers.kvm import Vm
from helpers.smccc import Call

__all__ = [
    "CONDUITS", "GARBAGE", "HVC", "INSTRUCTIONS", "REGISTER_LEVELS", "SMC", "At", "Form", "VmAt", "call_of", "hold",
]  # fmt: skip


def call_of(function: Function, form: Form = HVC) -> Call:
    """The call, with garbage in the unused argument registers."""
    return Call(form.upper | function.id, (*function.args, *GARBAGE[len(function.args) :]), form.conduit)


def hold(vm: Vm, registers: tuple[Register, ...], situation: Situation) -> None:
    """Puts a VM into a situation. Raises KvmError."""
    vm.vcpu.set_regs([(r, situation.values[r.name]) for r in registers])
    if situation.pv_time_ipa is not None:
        set_pv_time(vm, situation.pv_time_ipa)


REGISTER_LEVELS = ("full", "empty")
At = Callable[[str, bool], Situation]
VmAt = Callable[[Situation], Vm]
"""The types of suites/conftest.py's fixtures of these names."""
