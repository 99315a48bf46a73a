# SPDX-License-Identifier: GPL-2.0-only
"""Formats a guest's KVM_RUN: the exit, and the hypercalls with their results."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from helpers import guests
from helpers.executor.program import Answer, Arg
from helpers.kvm_program import GuestRun
from helpers.smccc import Call, CallResult, show_registers
from helpers.trace.names import EXITS, function_name
from helpers.uapi import kvm as uapi

MOST_CALLS = 4
"""Lines for one run. The failure's own message names the wrong call."""


def run_lines(run: GuestRun, answer: Answer) -> Iterator[str]:
    """Lines below a KVM_RUN that succeeded, from what was read after it."""
    record, mailbox = _data(run.record, answer), _data(run.mailbox, answer)
    if record:
        yield f"    left the guest with {_exit_name(record)}"
    if mailbox:
        yield from _calls(run.calls, guests.read(mailbox))


def _data(peek: Arg | None, answer: Answer) -> bytes:
    results = answer.results[peek.index] if peek is not None else ()
    return results[-1].data if results and results[-1].ran else b""


def _exit_name(record: bytes) -> str:
    (reason,) = struct.unpack_from("<I", record, uapi.offset("kvm_run_mmio", "exit_reason"))
    return EXITS.get(reason, f"exit reason {reason}")


def _calls(calls: Sequence[Call], results: list[CallResult]) -> Iterator[str]:
    pairs = list(zip(calls, results, strict=False))
    for call, result in pairs[:MOST_CALLS]:
        yield f"    guest: {_call(call)} -> {_result(result)}"
    if len(pairs) > MOST_CALLS:
        yield f"    guest: ... and {len(pairs) - MOST_CALLS} more calls"


def _call(call: Call) -> str:
    last = max((place for place, value in enumerate(call.args) if value), default=-1)
    arguments = "".join(f", {value:#x}" for value in call.args[: last + 1])
    return f"{call.conduit.name}({function_name(call.function)}{arguments})"


def _result(result: CallResult) -> str:
    # The guest fills x8 to x17, so that all zeros means: not written.
    return show_registers(result.x0_3) if any(result.x) else "not made"
