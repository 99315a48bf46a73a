# SPDX-License-Identifier: GPL-2.0-only
"""Formats the arguments of ioctls: their descriptions, or the plain number if there is none."""

from __future__ import annotations

from collections.abc import Callable

from helpers.executor.program import Answer, Arg, ArgType
from helpers.kvm_program import CapabilityRequest, DeviceAttr, FilterRange, GuestRun, OneReg, RegList, RegRead
from helpers.trace.names import CAPABILITIES, function_name, register_name
from helpers.uapi import kvm as uapi

_SIZE_SHIFT, _SIZE_MASK = 16, 0x3FFF
_WORD, _U64 = 8, (1 << 64) - 1
_ACTIONS = ("HANDLE", "DENY", "FWD_TO_USER")


def value_of(arg: Arg | int, answer: Answer | None) -> int:
    """A number, a result plus an offset (0 if there is no result), or an offset in the scratch memory."""
    if isinstance(arg, int):
        return arg
    if arg.type is not ArgType.RESULT:
        return arg.value
    results = answer.results[arg.index] if answer is not None else ()
    return (results[-1].ret if results else 0) + arg.value


def described(description: object, request: int, arg: Arg | int, answer: Answer | None) -> str:
    """The arguments of an ioctl, without the brackets."""
    match description:
        case None:
            return _plain(request, arg, answer)
        case OneReg(register=register, memory=int(address)):
            return f"{register_name(register.id)}, pointer {address:#x}"
        case OneReg(register=register, value=value):
            return f"{register_name(register.id)}, {value:#x}"
        case RegRead(one_reg=one_reg):
            return f"{register_name(one_reg.register.id)}, reads {_read(description, answer)}"
        case RegList(n=n):
            return f"n = {n}"
        case DeviceAttr(group=group, attr=attr):
            return f"group {group}, attr {attr}{_data(description, answer)}"
        case FilterRange(base=base, functions=functions, action=action):
            named = _ACTIONS[action] if action < len(_ACTIONS) else str(action)
            return f"SMCCC_FILTER, base {function_name(base)}, {functions:#x} functions, {named}"
        case CapabilityRequest(capability=number, flags=flags, args=args):
            return f"{_capability(number)}, flags {flags:#x}, args {' '.join(map(hex, args))}"
        case GuestRun():
            return "immediate_exit" if description.immediate_exit else _plain(request, arg, answer)
    return str(description)


def _plain(request: int, arg: Arg | int, answer: Answer | None) -> str:
    value = value_of(arg, answer)
    if request in _BY_VALUE:
        return _BY_VALUE[request](value)
    if isinstance(arg, Arg) and arg.type is ArgType.SCRATCH:
        return "..."
    pointer = request >> _SIZE_SHIFT & _SIZE_MASK
    return f"pointer {value & _U64:#x}" if pointer else f"{value:#x}" if value else ""


def _read(read: RegRead, answer: Answer | None) -> str:
    results = answer.results[read.done.index] if answer is not None else ()
    return f"{read.one_reg.after(results[-1]):#x}" if results and results[-1].ran else "..."


def _data(attr: DeviceAttr, answer: Answer | None) -> str:
    if attr.data is None:
        return f", pointer {value_of(attr.memory, answer) & _U64:#x}"
    if len(attr.data) > _WORD:
        return f", {{{attr.data.hex(' ', -4)}}}"
    return f", {int.from_bytes(attr.data, 'little'):#x}" if attr.data else ""


def _capability(number: int) -> str:
    return f"{number} {CAPABILITIES.get(number, '')}".rstrip()


_BY_VALUE: dict[int, Callable[[int], str]] = {
    uapi.KVM_CHECK_EXTENSION: _capability,
    uapi.KVM_CREATE_VCPU: str,
    uapi.KVM_CREATE_VM: lambda kind: f"type {kind:#x}" if kind else "",
}
"""ioctls whose argument is no pointer."""
