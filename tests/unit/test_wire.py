# SPDX-License-Identifier: GPL-2.0-only
"""The wire format of requests and answers, and what both ends refuse."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import build
from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Arg, ArgType, Code, Op, OpResult, Program

MASK = (1 << 64) - 1


def run(native: Native, program: Program) -> Answer:
    return wire.decode(program, native.run(wire.encode(program)))


def closes(count: int) -> Program:
    program = Program()
    for _ in range(count):
        program.close(-1)
    return program


def head(chunks: int = 0, pointers: int = 0) -> bytes:
    """With one stage and 64 bytes of scratch memory."""
    return struct.pack("<IHHIIIIII", wire.MAGIC, wire.VERSION, 1, 100, 64, 1, 0, chunks, pointers)


def refusal(native: Native, request: bytes) -> str:
    """The reason and offset with which the executor refuses a request; "" if it runs it."""
    answer = native.run(request)
    _, _, status, _, at, length = struct.unpack_from("<IHHIII", answer)
    return f"{answer[20 : 20 + length].decode()} (at byte {at} of the request)" if status else ""


def answer_to(kinds: bytes, rest: bytes = b"") -> bytes:
    """An answer body with these kinds of results, and ``rest`` after their padding."""
    head = struct.pack("<IHHIII", wire.MAGIC, wire.VERSION, 0, 0, 0, len(kinds))
    return head + kinds + bytes(-len(kinds) % 8) + rest


def record(ret: int, error: int, state: int, data: bytes = b"", zero: int = 0) -> bytes:
    return struct.pack("<qIIII", ret, error, state, len(data), zero) + data + bytes(-len(data) % 8)


def test_values_are_sent_in_64_bits(native: Native) -> None:
    """Plain, negative, and with more bits than a u64."""
    for value in (0, 1, MASK, -1, -(1 << 63), 1 << 63, (1 << 64) + 5):
        program = Program()
        memory = program.scratch(8)
        program.poke_address(memory, value)
        peek = program.peek(memory, 8)
        assert struct.unpack("<Q", run(native, program)[peek].data) == (value & MASK,)


def test_arguments_of_each_type(native: Native) -> None:
    """Results and addresses at any place, with offsets of both signs."""
    program = Program()
    memory = program.scratch_bytes(bytes(range(64)))
    eight, nine = program.peek(memory, 8), program.clock(-1)
    fd = program.syscall(10_000)
    length = program._append(Code.PEEK, memory + 8, nine + 5)
    stored = program.poke_address(memory + 16, fd + 3)
    later = program.peek(memory + 16 + 8 + -8, 8)
    answer = run(native, program)
    assert answer[eight].data == bytes(range(8))
    assert answer[length].data == bytes(range(8, 12)), "-1 + 5 bytes"
    assert answer[stored].ret == 0 and answer[later].data == struct.pack("<Q", 2)


def test_a_wrong_number_of_arguments_is_not_sent() -> None:
    for given_ in ((), (1,), (1, 2, 3, 4), (Arg(ArgType.RESULT, 0, 0),)):
        program = Program()
        program.stages[0][0].ops.append((0, Op(Code.IOCTL, given_, b"")))
        with pytest.raises(struct.error):
            wire.encode(program)


def test_the_numbers_of_arguments_are_those_of_the_executor(native: Native) -> None:
    """With one argument less a request is too short, with one more too long. The operation is not run."""
    for code, count in wire._ARG_COUNTS.items():
        data = bytes(8 * (code is Code.OPEN))
        for words, reason in ((count - 1, "ends before"), (count, ""), (count + 1, "after the program")):
            op = struct.pack(f"<HHI{max(words, 0)}Q", code, 0, len(data), *[0] * words) + data
            refused = refusal(native, head() + struct.pack("<4I", 1, 0, 0, 1) + op)
            assert words < 0 or (reason in refused and bool(refused) == bool(reason))


MALFORMED = {
    "an argument of unknown type": (6, 0b1100, b"", (0, 0), 24),
    "a type of an argument that the operation does not have": (6, 0b100000, b"", (0, 0), 8),
    "an operation with data that it does not take": (6, 0, bytes(8), (0, 0), 8),
    "an operation of unknown code": (999, 0, b"", (), 8),
    "a path without its terminating NUL": (1, 0, b"/etc    ", (0, 0), 32),
    "an argument refers to an operation that is not earlier": (6, 0b01, b"", (0, 0, 1 << 32), 32),
    "the request ends before its contents do": (6, 0b01, b"", (0, 0), 24),
}
"""Operations: code, types, data and words, and the offset of the error in the operation."""


@pytest.mark.parametrize("reason", MALFORMED)
def test_a_malformed_operation_is_refused_with_its_offset(reason: str, native: Native) -> None:
    code, types, data, words, at = MALFORMED[reason]
    op = struct.pack(f"<HHI{len(words)}Q", code, types, len(data), *words) + data
    place = len(head()) + 16 + at
    assert refusal(native, head() + struct.pack("<4I", 1, 0, 1, 1) + op) == f"{reason} (at byte {place} of the request)"


def test_the_number_of_a_result_has_64_bits(native: Native) -> None:
    """An index whose lower half is an earlier operation is refused."""
    program = closes(1)
    program.close(Arg(ArgType.RESULT, 1 << 32, 0))
    with pytest.raises(HarnessError, match="not earlier"):
        run(native, program)


def test_malformed_request_is_refused_in_words(native: Native) -> None:
    program = Program()
    program.close(-1)
    good = wire.encode(program)
    for bad, word in (
        (b"", "ends before"),
        (b"XXXX" + good[4:], "magic"),
        (good[:4] + b"\x09\0" + good[6:], "version"),
        (good + b"\0", "after the program"),
        (good[:-1], "ends before"),
    ):
        with pytest.raises(HarnessError, match=word):
            wire.decode(program, native.run(bad))


def test_reference_to_a_concurrent_thread_is_refused(native: Native) -> None:
    program = Program()
    with program.concurrently() as stage:
        with stage.thread():
            first = program.close(-1)
        with stage.thread():
            program.close(first)
    with pytest.raises(HarnessError, match="same time"):
        run(native, program)


# Operations that cannot harm this process: PEEK, CLOCK, SYSCALL, and codes that do not exist.
harmless = st.builds(
    lambda code, types, words, data: struct.pack(f"<HHI{len(words)}Q", code, types, len(data), *words) + data,
    st.sampled_from([6, 11, 12, 0, 999]),
    st.sampled_from([0, 1, 2, 4, 0x888, 0xAAA, 3, 0x1000]) | st.integers(0, 0xFFFF),
    st.lists(st.integers(0, 9) | st.integers(0, 2**64 - 1), max_size=9),
    st.binary(max_size=24),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(harmless, max_size=4), st.integers(0, 3), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_any_request_gets_an_answer(ops: list[bytes], threads: int, repeat: int, count: int) -> None:
    native = Native(build.NATIVE)
    claimed = len(ops) if count % 2 else count
    body = head() + struct.pack("<II", threads, repeat % 3) + struct.pack("<II", repeat, claimed) + b"".join(ops)
    answer = native.run(body)
    magic, version, status = struct.unpack_from("<IHH", answer)
    assert (magic, version) == (wire.MAGIC, wire.VERSION)
    assert status in (0, 1)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 80), st.binary(max_size=70))),
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 80)),
)
def test_contents_stay_inside_of_the_scratch_memory(chunks: list[tuple[int, bytes]], pointers: list[int]) -> None:
    body = head(len(chunks), len(pointers))
    for at, data in chunks:
        body += struct.pack("<II", at, len(data)) + data + bytes(-len(data) % 8)
    body += b"".join(struct.pack("<II", at, 0) for at in pointers) + struct.pack("<4I", 1, 0, 1, 0)
    (status,) = struct.unpack_from("<H", Native(build.NATIVE).run(body), 6)
    inside = all(at + len(data) <= 64 for at, data in chunks) and all(at + 8 <= 64 for at in pointers)
    assert status == (0 if inside else 1)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    answer = Native(build.NATIVE).run(body)
    assert struct.unpack_from("<IHH", answer) == (wire.MAGIC, wire.VERSION, 1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=120))
def test_garbage_answers_are_named(body: bytes) -> None:
    program = Program()
    program.close(-1)
    with pytest.raises(HarnessError):
        wire.decode(program, body)


def test_the_answer_to_another_request_is_refused(native: Native) -> None:
    program = Program()
    program.close(-1)
    answer = native.run(wire.encode(program, serial=7))
    assert wire.decode(program, answer, serial=7)
    with pytest.raises(HarnessError, match="it answers request 7, not 8"):
        wire.decode(program, answer, serial=8)


def test_answers_of_each_kind() -> None:
    kinds = bytes([0, 253, 255, 254, 2, 255, 254, 254, 255])
    words = b"".join(struct.pack("<Q", word) for word in (7, 8, 7))
    body = answer_to(kinds, words + record(-1, 0, 0) + record(-1, 300, 1) + record(5, 0, 1, b"hello"))
    results = [each for (each,) in wire.decode(closes(9), body).results]
    plain, seven = OpResult(0, 0, True, b""), OpResult(0, 0, True, struct.pack("<Q", 7))
    assert results == [
        plain, OpResult(-1, 253, True, b""), OpResult(-1, 0, False, b""), seven, OpResult(-1, errno.ENOENT, True, b""),
        OpResult(-1, 300, True, b""), OpResult(0, 0, True, struct.pack("<Q", 8)), seven, OpResult(5, 0, True, b"hello"),
    ]  # fmt: skip


def test_results_that_occur_often_are_shared(native: Native) -> None:
    answer = run(native, closes(2))
    assert answer.results[0][0].error == "EBADF" and answer.results[0][0] is answer.results[1][0]


def test_the_executor_sends_each_kind(native: Native) -> None:
    """A word with ret 0 is no record, whichever operation read it. An errno of a PEEK has no data."""
    program = Program()
    memory = program.scratch_bytes(b"8 bytes.")
    program.peek(memory, 8)
    program.peek(memory, 7)
    program.close(-1)
    program.munmap(program.mmap(8192, 3, 0x22), 8192)
    program.syscall(10_000)
    body = native.run(wire.encode(program))
    assert list(body[20:28]) == [254, 255, errno.EBADF, 255, 0, errno.ENOSYS, 0, 0]
    assert body[28:36] == b"8 bytes." and len(body) == 36 + 24 + 8 + 24


@pytest.mark.parametrize(
    ("kinds", "rest", "reason"),
    [
        (b"\0" * 4, b"", "holds 4 results, the program has 3"),
        (b"\0\xfe\0", b"", "ends at byte 28 before"),
        (b"\xfe\0\xfe", bytes(15), "ends at byte 43 before"),
        (b"\xff\0\0", record(0, 0, 1)[:-1], "ends at byte 51 before"),
        (b"\xff\0\0", record(0, 0, 2), "has the state 2"),
        (b"\xff\0\0", record(0, 0, 1, zero=1), "has the state 1"),
        (b"\xff\0\0", record(0, 0, 1, b"1")[:-1], "ends at byte 59 before"),
        (b"\xff\0\0", struct.pack("<qIIII", 0, 0, 1, (1 << 32) - 1, 0), "ends at byte 52 before"),
        (b"\0\1\2", b"\0", "1 bytes after its end"),
        (b"\0\xfe\2", bytes(16), "8 bytes after its end"),
    ],
)
def test_a_hostile_answer_is_refused(kinds: bytes, rest: bytes, reason: str) -> None:
    with pytest.raises(HarnessError, match=reason):
        wire.decode(closes(3), answer_to(kinds, rest))


def test_an_answer_that_ends_in_its_kinds() -> None:
    with pytest.raises(HarnessError, match="ends at byte 23 before"):
        wire.decode(closes(9), answer_to(bytes(9))[:23])
    with pytest.raises(HarnessError, match="ends at byte 23 before"):
        wire.decode(closes(3), answer_to(bytes(3))[:23])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([0, 1, 2, 253, 254, 255]), max_size=12), st.lists(st.binary(max_size=40), max_size=4))
def test_any_answer_is_decoded_or_refused(kinds: list[int], rest: list[bytes]) -> None:
    """``rest`` is half of the time what the kinds need."""
    records = b"".join(record(1, 0, len(data) & 1, data) for data in rest)
    body = answer_to(bytes(kinds), bytes(8 * kinds.count(254)) + records)
    try:
        answer = wire.decode(closes(len(kinds)), body)
    except HarnessError:
        assert len(rest) != kinds.count(255)
    else:
        assert len(rest) == kinds.count(255) and len(answer.results) == len(kinds)
