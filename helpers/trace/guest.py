# SPDX-License-Identifier: GPL-2.0-only
"""What a guest did in a KVM_RUN: how it left, and the hypercalls that it made with what they handed back."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from helpers import guests
from helpers.executor.program import Code, Op, OpResult
from helpers.smccc import Call, CallResult, show_registers
from helpers.trace.arguments import Memory
from helpers.trace.names import EXITS, function_name
from helpers.uapi import kvm as uapi

MOST_CALLS = 4
"""Of one run: the failure's own message says which of them was wrong."""
_RECORDS = {uapi.ffi.sizeof(f"struct {name}") for name in ("kvm_run_mmio", "kvm_run_hypercall")}


class Mailbox:
    """The guest memory through which calls are asked for and answered."""

    def __init__(self) -> None:
        self._asked: dict[int, list[Call]] = {}

    def poked(self, address: int, data: bytes) -> None:
        """Something was written to memory outside of the program's own."""
        calls = guests.asked_calls(data)
        if calls:
            self._asked[address] = calls

    def run(
        self, results: tuple[OpResult, ...], later: Sequence[tuple[tuple[OpResult, ...], Op]], memory: Memory
    ) -> Iterator[str]:
        """Lines below a KVM_RUN, from what was read after it."""
        if not results or results[-1].errno or not results[-1].ran:
            return
        for found, op in later:
            if op.code == Code.IOCTL and memory.value(op.args[1]) == uapi.KVM_RUN:
                return
            if op.code != Code.PEEK or not found or not found[-1].ran:
                continue
            data = found[-1].data
            if len(data) in _RECORDS:
                yield f"    left the guest with {run_exit(data)}"
            calls = self._asked.get(memory.value(op.args[0]), [])
            if calls:
                yield from _calls(calls, guests.read(data))


def run_exit(record: bytes) -> str:
    """The name of the exit in a struct kvm_run."""
    (reason,) = struct.unpack_from("<I", record, uapi.offset("kvm_run_mmio", "exit_reason"))
    return EXITS.get(reason, f"exit reason {reason}")


def _calls(calls: list[Call], results: list[CallResult]) -> Iterator[str]:
    pairs = list(zip(calls, results, strict=False))
    for call, result in pairs[:MOST_CALLS]:
        yield f"    guest: {_asked(call)} -> {_answered(result)}"
    if len(pairs) > MOST_CALLS:
        yield f"    guest: ... and {len(pairs) - MOST_CALLS} more calls"


def _asked(call: Call) -> str:
    last = max((place for place, value in enumerate(call.args) if value), default=-1)
    arguments = "".join(f", {value:#x}" for value in call.args[: last + 1])
    return f"{call.conduit.name}({function_name(call.function)}{arguments})"


def _answered(result: CallResult) -> str:
    # The guest gives x8 to x17 values of their own, so nothing but zeros was never written.
    return show_registers(result.x0_3) if any(result.x) else "not made"
