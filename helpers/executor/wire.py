# SPDX-License-Identifier: GPL-2.0-only
"""Encodes programs and decodes answers in the executor's wire format, which executor.h describes."""

from __future__ import annotations

import struct

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, ArgType, Op, OpResult, Program

MAGIC = 0x3158484B
VERSION = 3
MAX_FRAME = 64 << 20
"""The largest frame in bytes. The limits in executor.h keep an answer below this size."""
_MAX_REQUEST = 4 << 20
"""KHX_MAX_REQUEST of executor.h, in bytes."""

_LONGEST_REASON = 200

_U64 = (1 << 64) - 1
_HEAD = struct.Struct("<IHHIII")
_RESULT = struct.Struct("<qIIII")
_REQUEST = struct.Struct("<IHHIIIIII")
_TWO = struct.Struct("<II")
_OPS = [struct.Struct("<HHI" + "IIQ" * count) for count in range(7)]
"""The structure of an operation by its number of arguments."""


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _encode_op(op: Op) -> bytes:
    code, given, data = op
    flat: list[int] = []
    for arg in given:
        if isinstance(arg, Arg):
            flat += (arg.type, arg.index, arg.value & _U64)
        else:
            flat += (ArgType.VALUE, 0, arg & _U64)
    head = _OPS[len(given)].pack(code, len(given), len(data), *flat)
    return head + _pad(data) if data else head


def encode(program: Program, *, serial: int = 0, deadline_ms: int | None = None, slowness: float = 1) -> bytes:
    """The request body for ``program``. Its deadline is ``slowness`` times the program's, at most ``deadline_ms``.

    Raises HarnessError if the program is too long.
    """
    deadline = int(program.deadline_ms * slowness)
    if deadline_ms is not None:
        deadline = min(deadline, deadline_ms)
    stages = [s for s in program.stages if any(t.ops for t in s)]
    counts = len(stages), serial, len(program.chunks), len(program.pointers)
    out = [_REQUEST.pack(MAGIC, VERSION, 1, deadline, program.scratch_size, *counts)]
    for at, chunk in program.chunks:
        out += [_TWO.pack(at, len(chunk)), _pad(bytes(chunk))]
    out += [_TWO.pack(at, 0) for at in program.pointers]
    for stage in stages:
        out.append(_TWO.pack(len(stage), any(thread.forked for thread in stage)))
        for thread in stage:
            out.append(_TWO.pack(thread.repeat, len(thread.ops)))
            out += [_encode_op(op) for _, op in thread.ops]
    body = b"".join(out)
    if len(body) > _MAX_REQUEST:
        why = f"it has {len(body)} bytes, the executor accepts {_MAX_REQUEST}"
        raise HarnessError("The program is too long", why=why, cure="Split it into several batches")
    return body


_PLAIN = OpResult(0, 0, True, b"")
"""The result of most operations."""


class _Reader:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def take(self, n: int) -> bytes:
        if len(self.body) - self.at < n:
            raise _garbage(f"it ends at byte {len(self.body)} before its contents do")
        self.at += n
        return self.body[self.at - n : self.at]


def _garbage(why: str) -> HarnessError:
    return HarnessError(
        "The executor's answer cannot be read", why=why, cure="Rebuild the executor (make clean setup) and run again"
    )


def _results(reader: _Reader, count: int) -> list[OpResult]:
    results: list[OpResult] = []
    for ret, err, state, length, zero in _RESULT.iter_unpack(reader.take(_RESULT.size * count)):
        if state == 1 and not (ret or err or length or zero):
            results.append(_PLAIN)
            continue
        if state > 1 or zero:
            raise _garbage(f"result {len(results)} has the state {state}")
        data = b""
        if length:
            data = reader.take(length)
            reader.take(-length % 8)
        results.append(OpResult(ret, err, state == 1, data))
    return results


def decode(program: Program, body: bytes, *, serial: int = 0) -> Answer:
    """Returns the answer in the body that the executor sent for ``program`` with ``serial``.

    Raises HarnessError if the body does not follow the format, or if the executor refused the request.
    """
    reader = _Reader(body)
    magic, version, status, answered, first, second = _HEAD.unpack(reader.take(_HEAD.size))
    if magic != MAGIC or version != VERSION or status > 1:
        raise _garbage(f"magic {magic:#x}, version {version}, status {status}")
    if answered != serial:
        raise _garbage(f"it answers request {answered}, not {serial}")
    if status == 1:
        # The text comes from the machine under test: limit its length, and escape control characters.
        text = ascii(reader.take(second)[:_LONGEST_REASON].decode("utf-8", "replace"))[1:-1]
        why = f"{text} (at byte {first} of the request)"
        raise HarnessError("The executor refused a program", why=why, cure="Report this as a bug of the suite")
    expected = sum(t.repeat * len(t.ops) for s in program.stages for t in s)
    if second != expected:
        raise _garbage(f"it holds {second} results, the program has {expected}")
    in_order = _results(reader, expected)
    if reader.at != len(body):
        raise _garbage(f"{len(body) - reader.at} bytes after its end")
    forked = any(thread.forked for stage in program.stages for thread in stage)
    return Answer(tuple(_by_operation(program, in_order)), first != 0, forked)


def _by_operation(program: Program, in_order: list[OpResult]) -> list[tuple[OpResult, ...]]:
    """One tuple for each operation, in the order of their numbers, with one result for each repetition."""
    results: list[tuple[OpResult, ...]] = [()] * program.op_count
    at = 0
    for thread in (t for s in program.stages for t in s):
        count, end = len(thread.ops), at + len(thread.ops) * thread.repeat
        for place, (index, _) in enumerate(thread.ops, at):
            results[index] = tuple(in_order[place:end:count])
        at = end
    return results
