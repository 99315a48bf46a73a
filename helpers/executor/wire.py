# SPDX-License-Identifier: GPL-2.0-only
"""Encodes programs and decodes answers in the executor's wire format, which executor.h describes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, ArgType, Code, Op, OpResult, Program

MAGIC = 0x3158484B
VERSION = 4
MAX_FRAME = 64 << 20
"""The largest frame in bytes. The limits in executor.h keep an answer below this size."""
_RESULT = ArgType.RESULT
_MAX_REQUEST = 4 << 20
"""KHX_MAX_REQUEST of executor.h, in bytes."""

_LONGEST_REASON = 200

_U64 = (1 << 64) - 1
_HEAD = struct.Struct("<IHHIII")
_RECORD = struct.Struct("<qIIII")
_REQUEST = struct.Struct("<IHHIIIIII")
_TWO = struct.Struct("<II")
_WORD = struct.Struct("<8s")
_INDEX = struct.Struct("<Q")
_ARG_COUNTS = {
    Code.OPEN: 2, Code.CLOSE: 1, Code.IOCTL: 3, Code.MMAP: 6, Code.MUNMAP: 2, Code.PEEK: 2, Code.POKE: 1, Code.READ: 2,
    Code.WRITE: 1, Code.POKE_VALUE: 2, Code.CLOCK: 1, Code.SYSCALL: 6, Code.BARRIER: 0, Code.IOCTL_AGAIN: 3,
    Code.IOCTL_PEEK: 5, Code.ONE_REG: 4,
}  # fmt: skip
_PACK_OP = (struct.Struct("").pack, *(struct.Struct(f"<HHI{_ARG_COUNTS[code]}Q").pack for code in Code))
"""Packs an operation, by its code. Raises struct.error for a wrong number of arguments."""


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _encode_op(op: Op) -> bytes:
    code, given, data = op
    values: list[int] = []
    types = shift = 0
    indices = b""
    arg: Any
    for arg in given:
        # isinstance() is slower. A run of the suite encodes some 800,000 operations.
        if arg.__class__ is Arg:
            kind, index, arg = arg
            types |= kind << shift
            if kind is _RESULT:
                indices += _INDEX.pack(index)
        values.append(arg)
        shift += 2
    try:
        head = _PACK_OP[code](code, types, len(data), *values)
    except struct.error:
        # A value is negative or has more than 64 bits.
        head = _PACK_OP[code](code, types, len(data), *[value & _U64 for value in values])
    return head + indices + _pad(data) if data or indices else head


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


_WORD_KIND, _RECORD_KIND = 254, 255
_BY_KIND = (OpResult(0, 0, True, b""), *(OpResult(-1, error, True, b"") for error in range(1, _WORD_KIND)))
"""The results that consist of their kind, and are shared."""


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
    kinds = reader.take(count)
    reader.take(-count % 8)
    words = _words(reader, kinds.count(_WORD_KIND))
    records = iter([_record(reader) for _ in range(kinds.count(_RECORD_KIND))])
    return [_BY_KIND[kind] if kind < _WORD_KIND else next(words if kind == _WORD_KIND else records) for kind in kinds]


def _words(reader: _Reader, count: int) -> Iterator[OpResult]:
    words = [word for (word,) in _WORD.iter_unpack(reader.take(_WORD.size * count))]
    shared = {word: OpResult(0, 0, True, word) for word in set(words)}
    return map(shared.__getitem__, words)


def _record(reader: _Reader) -> OpResult:
    ret, err, state, length, zero = _RECORD.unpack(reader.take(_RECORD.size))
    if state > 1 or zero:
        raise _garbage(f"the record that ends at byte {reader.at} has the state {state}")
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
