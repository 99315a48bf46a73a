# SPDX-License-Identifier: GPL-2.0-only
"""What an ioctl was given: its argument, or the structure that it points to, in the fields' own terms."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from helpers.executor.program import Answer, Arg, ArgType, Code, Op, OpResult, Program
from helpers.trace.names import CAPABILITIES, function_name, register_name
from helpers.uapi import kvm as uapi

Later = Sequence[tuple[tuple[OpResult, ...], Op]]
"""The operations after an ioctl with their results: one of them reads what it wrote."""
_MOST_BYTES = 32
_SIZE_SHIFT, _SIZE_MASK = 16, 0x3FFF
_U64 = (1 << 64) - 1


class Memory:
    """The scratch memory of a program as its POKEs leave it."""

    def __init__(self, program: Program, answer: Answer | None) -> None:
        self._bytes = bytearray(program.scratch_size)
        self._pointers: dict[int, Arg] = {}
        self._answer = answer

    def value(self, arg: Arg) -> int:
        """A number, a result plus its offset (0 where there is none), or an offset in the scratch memory."""
        if arg.type is not ArgType.RESULT:
            return arg.value
        results = self._answer.results[arg.index] if self._answer is not None else ()
        return (results[-1].ret if results else 0) + arg.value

    def poke(self, op: Op) -> bool:
        """Does a POKE again; False where it goes elsewhere than into the scratch memory."""
        if op.args[0].type is not ArgType.SCRATCH:
            return False
        at = op.args[0].value
        self._bytes[at : at + len(op.data)] = op.data
        return True

    def point(self, op: Op) -> None:
        """Keeps what a POKE_VALUE wrote: an address that only the executor knows."""
        if op.args[0].type is ArgType.SCRATCH:
            self._pointers[op.args[0].value] = op.args[1]

    def read(self, arg: Arg, size: int) -> bytes | None:
        """``size`` bytes where an argument points; None for anywhere else than the scratch memory."""
        if arg.type is not ArgType.SCRATCH or arg.value + size > len(self._bytes):
            return None
        return bytes(self._bytes[arg.value : arg.value + size])

    def pointer(self, arg: Arg, offset: int) -> Arg | None:
        """The address in a structure's field: an argument, or None where the field holds a plain number."""
        return self._pointers.get(arg.value + offset) if arg.type is ArgType.SCRATCH else None


def described(request: int, arg: Arg, memory: Memory, later: Later) -> str:
    """The arguments of an ioctl as they stand between its brackets."""
    size = request >> _SIZE_SHIFT & _SIZE_MASK
    plain = _BY_VALUE.get(request)
    if plain is not None:
        return plain(memory.value(arg))
    known = _KNOWN.get(request)
    data = memory.read(arg, max(size, 8))
    if known is None or data is None:
        return _plain(arg, memory, size)
    return known(arg, data, memory, later)


def _plain(arg: Arg, memory: Memory, size: int) -> str:
    data = memory.read(arg, size) if size else None
    if data is not None:
        return f"{{{data[:_MOST_BYTES].hex(' ', 4)}{' ...' if size > _MOST_BYTES else ''}}}"
    value = memory.value(arg)
    return f"pointer {value & _U64:#x}" if size else f"{value:#x}" if value else ""


def _capability(number: int) -> str:
    return f"{number} {CAPABILITIES.get(number, '')}".rstrip()


def _one_reg(arg: Arg, data: bytes, memory: Memory, later: Later, *, is_get: bool) -> str:
    (register,) = struct.unpack_from("<Q", data)
    at = memory.pointer(arg, 8)
    if at is None:
        (address,) = struct.unpack_from("<Q", data, 8)
        return f"{register_name(register)}, pointer {address:#x}"
    value = _read_later(at, later) if is_get else memory.read(at, 8)
    shown = f"{int.from_bytes(value, 'little'):#x}" if value is not None else "..."
    return f"{register_name(register)}, {'reads ' if is_get else ''}{shown}"


def _get_one_reg(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    return _one_reg(arg, data, memory, later, is_get=True)


def _set_one_reg(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    return _one_reg(arg, data, memory, later, is_get=False)


def _read_later(at: Arg, later: Later) -> bytes | None:
    for results, op in later:
        if op.code == Code.PEEK and op.args[0] == at and results and results[-1].ran:
            return results[-1].data[:8]
    return None


def _vcpu_init(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    words = struct.unpack_from("<7I", data, 4)
    features = [str(32 * place + bit) for place, word in enumerate(words) for bit in range(32) if word >> bit & 1]
    return f"features {', '.join(features) or 'none'}"


def _target(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    return ""


def _region(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    slot, _, address, size = struct.unpack_from("<IIQQ", data)
    return f"slot {slot}, IPA {address:#x}, {size:#x} bytes"


def _attribute(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    _, group, attr = struct.unpack_from("<IIQ", data)
    at = memory.pointer(arg, uapi.offset("kvm_device_attr", "addr"))
    rule = memory.read(at, uapi.ffi.sizeof("struct kvm_smccc_filter")) if at is not None else None
    if (group, attr) == (uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER) and rule is not None:
        base, count, action = struct.unpack_from("<IIB", rule)
        actions = ("HANDLE", "DENY", "FWD_TO_USER")
        named = actions[action] if action < len(actions) else str(action)
        return f"SMCCC_FILTER, base {function_name(base)}, {count:#x} functions, {named}"
    value = memory.read(at, 8) if at is not None else None
    return f"group {group}, attr {attr}" + (f", {int.from_bytes(value, 'little'):#x}" if value is not None else "")


def _enable_cap(arg: Arg, data: bytes, memory: Memory, later: Later) -> str:
    number, flags, *args = struct.unpack_from("<II4Q", data)
    shown = " ".join(f"{each:#x}" for each in args)
    return f"{_capability(number)}, flags {flags:#x}, args {shown}"


_KNOWN: dict[int, Callable[[Arg, bytes, Memory, Later], str]] = {
    uapi.KVM_GET_ONE_REG: _get_one_reg,
    uapi.KVM_SET_ONE_REG: _set_one_reg,
    uapi.KVM_ARM_VCPU_INIT: _vcpu_init,
    uapi.KVM_ARM_PREFERRED_TARGET: _target,
    uapi.KVM_SET_USER_MEMORY_REGION: _region,
    uapi.KVM_SET_DEVICE_ATTR: _attribute,
    uapi.KVM_GET_DEVICE_ATTR: _attribute,
    uapi.KVM_HAS_DEVICE_ATTR: _attribute,
    uapi.KVM_ENABLE_CAP: _enable_cap,
}
_BY_VALUE: dict[int, Callable[[int], str]] = {
    uapi.KVM_CHECK_EXTENSION: _capability,
    uapi.KVM_CREATE_VCPU: str,
    uapi.KVM_CREATE_VM: lambda kind: f"type {kind:#x}" if kind else "",
}
"""ioctls whose argument is no pointer."""
