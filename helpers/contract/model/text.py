# SPDX-License-Identifier: GPL-2.0-only
"""Formats a sequence as KVM calls, with expected and actual answers."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.contract.model import operations as op
from helpers.contract.model.guest_calls import CALLEES
from helpers.smccc import U64
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import error_name, show_bits

_EXITS = {getattr(uapi, n): n for n in ("KVM_EXIT_MMIO", "KVM_EXIT_HYPERCALL", "KVM_EXIT_SYSTEM_EVENT")}
_FEATURES = {
    getattr(uapi, n): n
    for n in ("KVM_ARM_VCPU_PSCI_0_2", "KVM_ARM_VCPU_PMU_V3", "KVM_ARM_VCPU_SVE", "KVM_ARM_VCPU_EL1_32BIT")
}
_ACTIONS = {
    uapi.KVM_SMCCC_FILTER_HANDLE: "HANDLE", uapi.KVM_SMCCC_FILTER_DENY: "DENY",
    uapi.KVM_SMCCC_FILTER_FWD_TO_USER: "FWD_TO_USER",
}  # fmt: skip


def call_text(operation: op.OnVm) -> str:
    if isinstance(operation, op.OnVcpu):
        return f"VM {operation.vm}, vCPU {operation.vcpu}: {_on_vcpu(operation)}"
    return f"VM {operation.vm}: {_on_vm(operation)}"


def _on_vm(operation: op.OnVm) -> str:
    match operation:
        case op.CreateVm():
            return "KVM_CREATE_VM"
        case op.CreateVcpu(id=number):
            return f"KVM_CREATE_VCPU {number}"
        case op.SetFilter(base=base, count=count, action=action):
            does = f"{action} ({_ACTIONS[action]})" if action in _ACTIONS else f"{action:#x}"
            ranges = f"base {base:#x}, nr_functions {count:#x}, action {does}"
            return f"KVM_SET_DEVICE_ATTR KVM_ARM_VM_SMCCC_FILTER: {ranges}"
        case op.CheckExtension():
            return f"KVM_CHECK_EXTENSION {uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP}"
        case op.EnableCap():
            return f"KVM_ENABLE_CAP {uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP}"
        case op.Restart(completes=completes):
            return f"{'KVM_RUN with immediate_exit and ' if completes else ''}KVM_ARM_VCPU_INIT of each vCPU"
    return "close its vCPUs and itself"


def _on_vcpu(operation: op.OnVcpu) -> str:
    match operation:
        case op.Init(features=features):
            named = [name for number, name in _FEATURES.items() if number in features]
            return f"KVM_ARM_VCPU_INIT {'with ' + ', '.join(named) if named else 'without KVM_ARM_VCPU_PSCI_0_2'}"
        case op.GetReg(register=register):
            return f"KVM_GET_ONE_REG {register.name} ({register.id:#x})"
        case op.SetReg(register=register, value=value):
            return f"KVM_SET_ONE_REG {register.name} ({register.id:#x}) = {show_bits(value)}"
        case op.ListRegs():
            return "KVM_GET_REG_LIST"
        case op.Run(how=how):
            return f"KVM_RUN, {how.value}"
        case op.GuestCall(name=name, form=form) | op.ForwardedCall(name=name, form=form):
            registers = CALLEES[name].call(form).registers[:4]
            x = ", ".join(f"x{n} = {value:#x}" for n, value in enumerate(registers))
            stays = " and stays there" if isinstance(operation, op.ForwardedCall) else ""
            return f"KVM_RUN, the guest makes {form.name} {name} ({x}){stays}"
        case op.ResumeGuest():
            return "KVM_RUN, the guest goes on after its forwarded call"
        case op.Disturb(event=event, actor=actor, other=other):
            return f"event {event} by {actor}, the other vCPU is {other}"
    assert isinstance(operation, op.PvTime)
    address = f" = {operation.ipa:#x}" if operation.request is op.Request.SET else ""
    return f"{operation.request.value} KVM_ARM_VCPU_PVTIME_IPA{address}"


def number(want: op.Want, value: int | None) -> str:
    """One number of an answer."""
    if value is None:
        return "no answer"
    if want.show is op.Show.ERRNO:
        return error_name(value)
    if want.show is op.Show.EXIT:
        return _EXITS.get(value, str(value))
    return str(value) if want.show is op.Show.DECIMAL else f"{value:#x}"


def wanted(want: op.Want) -> str:
    """The expected number, with its mask if not every bit is compared."""
    shown = number(want, want.value)
    return shown if want.mask == U64 else f"{shown} in the bits {want.mask:#x}"


def sequence(steps: Sequence[op.Step], answers: Sequence[op.StepAnswer]) -> str:
    """Every call with its answer, one per line; below the last one its wrong numbers."""
    lines = [_line(at, step, answer) for at, (step, answer) in enumerate(zip(steps, answers, strict=False), 1)]
    return "\n".join([*lines, *_wrong(steps[len(answers) - 1], answers[-1])])


def _line(at: int, step: op.Step, answer: op.StepAnswer) -> str:
    numbers = ", ".join(_named(want, got) for want, got in zip(step.wants, answer, strict=True))
    return f"{at:4}. {call_text(step.operation)}" + (f" -> {numbers}" if numbers else "")


def _named(want: op.Want, got: int | None) -> str:
    bare = want.show in (op.Show.ERRNO, op.Show.EXIT)
    return number(want, got) if bare else f"{want.name} = {number(want, got)}"


def _wrong(step: op.Step, answer: op.StepAnswer) -> list[str]:
    return [
        f"      {want.name}: expected {wanted(want)}, actual {number(want, got)}"
        for want, got in zip(step.wants, answer, strict=True)
        if not want.holds(got)
    ]


def expected_text(steps: Sequence[op.Step]) -> str:
    """Every call with its expected answer."""
    return sequence(steps, [tuple(want.value for want in step.wants) for step in steps])
