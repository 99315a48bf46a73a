# SPDX-License-Identifier: GPL-2.0-only
"""The Python end of the executor's wire format; executor.h describes it."""

from __future__ import annotations

import struct

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Op, OpResult, Program

MAGIC = 0x3158484B
VERSION = 3
MAX_FRAME = 64 << 20
"""In bytes. The limits in executor.h keep an answer below this."""
_MAX_REQUEST = 4 << 20
"""KHX_MAX_REQUEST of executor.h, in bytes."""

_LONGEST_REASON = 200

_U64 = (1 << 64) - 1
_HEAD = struct.Struct("<IHHIII")
_RESULT = struct.Struct("<qIIII")


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _encode_op(op: Op) -> bytes:
    out = [struct.pack("<HHI", op.code, len(op.args), len(op.data))]
    out += [struct.pack("<IIQ", a.type, a.index, a.value & _U64) for a in op.args]
    out.append(_pad(op.data))
    return b"".join(out)


def encode(program: Program, *, serial: int = 0, deadline_ms: int | None = None, slowness: float = 1) -> bytes:
    """The request body for ``program``; ``deadline_ms`` bounds ``slowness`` times the program's own deadline.

    Raises HarnessError for a program that is too long.
    """
    deadline = int(program.deadline_ms * slowness)
    if deadline_ms is not None:
        deadline = min(deadline, deadline_ms)
    stages = [s for s in program.stages if any(t.ops for t in s)]
    out = [struct.pack("<IHHIIII", MAGIC, VERSION, 1, deadline, program.scratch_size, len(stages), serial)]
    for stage in stages:
        out.append(struct.pack("<II", len(stage), any(thread.forked for thread in stage)))
        for thread in stage:
            out.append(struct.pack("<II", thread.repeat, len(thread.ops)))
            out += [_encode_op(op) for _, op in thread.ops]
    body = b"".join(out)
    if len(body) > _MAX_REQUEST:
        why = f"it has {len(body)} bytes, the executor accepts {_MAX_REQUEST}"
        raise HarnessError("The program is too long", why=why, cure="Split it into several batches")
    return body


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


def _result(reader: _Reader) -> OpResult:
    ret, err, state, length, zero = _RESULT.unpack(reader.take(_RESULT.size))
    if state > 1 or zero:
        raise _garbage(f"a result with state {state} at byte {reader.at}")
    data = reader.take(length)
    reader.take(-length % 8)
    return OpResult(ret, err, state == 1, data)


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
        # The text comes from the kernel under test: shorten it, and escape what a terminal would interpret.
        text = ascii(reader.take(second)[:_LONGEST_REASON].decode("utf-8", "replace"))[1:-1]
        raise HarnessError("The executor refused a program", why=f"{text} (at byte {first} of the request)")
    results: list[list[OpResult]] = [[] for _ in range(program.op_count)]
    expected = sum(t.repeat * len(t.ops) for s in program.stages for t in s)
    if second != expected:
        raise _garbage(f"it holds {second} results, the program has {expected}")
    for thread in (t for s in program.stages for t in s):
        for _ in range(thread.repeat):
            for index, _op in thread.ops:
                results[index].append(_result(reader))
    if reader.at != len(body):
        raise _garbage(f"{len(body) - reader.at} bytes after its end")
    return Answer(tuple(map(tuple, results)), first != 0)
