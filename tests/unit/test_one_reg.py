# SPDX-License-Identifier: GPL-2.0-only
"""KHX_ONE_REG, with ioctls of a terminal in the place of KVM's, and the results of register accesses.

TCGETS writes a struct termios (asm-generic/termbits.h, 36 bytes) over the struct kvm_one_reg, the word and the memory
after it. TCSETS reads it from there.
"""

from __future__ import annotations

import errno
import os
import pty
import struct
import termios
from collections.abc import Iterator

import pytest

from helpers.batch import Batch
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Code, OpResult, Program
from helpers.kvm_program import KvmProgram, OneReg
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId

REGISTER = RegisterId("x0", 0x6030_0000_0010_0000)
WORD = 0x1122_3344_5566_7700
"""Its lowest byte is the line discipline, of which the kernel's is 0. The others are c_cc[0..6]."""


BUDGET = 16 << 20
"""KHX_MAX_DATA of executor.h."""


@pytest.fixture
def terminal() -> Iterator[int]:
    main, other = pty.openpty()
    yield other
    os.close(main)
    os.close(other)


def run(native: Native, program: Program) -> Answer:
    return wire.decode(program, native.run(wire.encode(program)))


def word_of(terminal: int) -> bytes:
    """The 8 bytes that TCGETS writes over the word."""
    # tcgetattr() returns two of them as numbers if the terminal is not in canonical mode.
    special: list[bytes | int] = termios.tcgetattr(terminal)[6]
    return bytes([0, *(each if isinstance(each, int) else each[0] for each in special[:7])])


def test_the_word_is_returned_if_the_call_changed_it(native: Native, terminal: int) -> None:
    program = Program()
    changed = program.ioctl_one_reg(terminal, termios.TCGETS, REGISTER.id, 5)
    same = program.ioctl_one_reg(terminal, termios.TCGETS, REGISTER.id, int.from_bytes(word_of(terminal), "little"))
    untouched = program.ioctl_one_reg(terminal, termios.FIONREAD, REGISTER.id, 5)
    failed = program.ioctl_one_reg(-1, termios.TCGETS, REGISTER.id, 5)
    answer = run(native, program)
    assert answer[changed] == OpResult(0, 0, True, word_of(terminal))
    assert answer[same] == answer[untouched] == OpResult(0, 0, True, b"")
    assert answer[failed] == OpResult(-1, errno.EBADF, True, b"")


def test_the_call_reads_the_id_and_the_word(native: Native, terminal: int) -> None:
    """The id is c_iflag and c_oflag, its low and high half."""
    flags = termios.ICRNL | termios.ONLCR << 32
    program = Program()
    done = program.ioctl_one_reg(terminal, termios.TCSETS, flags, WORD)
    assert run(native, program)[done] == OpResult(0, 0, True, b"")
    iflag, oflag, *_ = termios.tcgetattr(terminal)
    assert (iflag, oflag, word_of(terminal)) == (termios.ICRNL, termios.ONLCR, struct.pack("<Q", WORD))


def test_each_repetition_has_its_own_word(native: Native, terminal: int) -> None:
    """In threads at once, and in a forked child, which sends it through a pipe beside other data."""
    program = Program()
    text = program.scratch_bytes(b"text")
    with program.concurrently() as stage:
        for _ in range(3):
            with stage.thread(repeat=50):
                reads = [program.ioctl_one_reg(terminal, termios.TCGETS, 1, number) for number in (0, 7)]
                program.ioctl_one_reg(-1, termios.TCGETS, 1, 9)
    with program.forked():
        peeks = [program.peek(text, 4) for _ in range(2)]
        in_child = program.ioctl_one_reg(terminal, termios.TCGETS, 1, 0)
        later = program.peek(text, 3)
    answer, word = run(native, program), word_of(terminal)
    assert [[each.data for each in answer.results[read.index]] for read in reads] == [[word] * 50] * 2
    assert answer[in_child].data == word
    assert [answer[each].data for each in (*peeks, later)] == [b"text", b"text", b"tex"]


def test_a_word_needs_none_of_the_room_for_data(native: Native, terminal: int) -> None:
    program = Program()
    zeros = program.mmap(BUDGET, 1, 0x22)
    peek = program.peek(zeros, BUDGET)
    read = program.ioctl_one_reg(terminal, termios.TCGETS, 1, 0)
    program.munmap(zeros, BUDGET)
    answer = run(native, program)
    assert len(answer[peek].data) == BUDGET and answer[read].data == word_of(terminal)


def codes(program: Program) -> list[Code]:
    return [op.code for stage in program.stages for thread in stage for _, op in thread.ops]


def test_a_number_needs_no_scratch_memory() -> None:
    program = KvmProgram()
    one = program.one_reg(REGISTER, 3)
    program.set_reg(7, one)
    program.get_reg(7, one)
    program.call(7, uapi.KVM_SET_ONE_REG, one)
    assert one == OneReg(REGISTER, 3) and not program.scratch_size
    assert codes(program) == [Code.ONE_REG] * 3
    assert [op.given for _, op in program.stages[0][0].ops] == [
        (7, request, REGISTER.id, 3) for request in (uapi.KVM_SET_ONE_REG, uapi.KVM_GET_ONE_REG, uapi.KVM_SET_ONE_REG)
    ]


@pytest.mark.parametrize("case", ["bytes", "memory", "in_scratch", "at"])
def test_real_memory(case: str) -> None:
    program = KvmProgram()
    one = {
        "bytes": lambda: program.one_reg(REGISTER, bytes(range(16))),
        "memory": lambda: program.one_reg(REGISTER, 3, memory=0x1000),
        "in_scratch": lambda: program.one_reg(REGISTER, 3, in_scratch=True),
        "at": lambda: program.one_reg_at(program.scratch(24), REGISTER, None, bytes(8)),
    }[case]()
    program.set_reg(7, one)
    program.get_reg(7, one)
    assert codes(program)[-2:] == [Code.IOCTL, Code.IOCTL_PEEK]
    assert one.address is not None and one.size == (16 if case == "bytes" else 8)
    assert one.after(OpResult(0, 0, True, b"")) == 0, "memory that is not mapped"


class Answering:
    """A subject whose every call has the same result."""

    def __init__(self, result: OpResult) -> None:
        self.result = result

    def run(self, program: Program) -> Answer:
        return Answer(((self.result,) * 2,) * program.op_count, False)


@pytest.mark.parametrize(
    ("result", "memory", "value"),
    [
        (OpResult(0, 0, True, bytes([9] + [0] * 7)), 9, 9),
        (OpResult(0, 0, True, b""), 5, 5),
        (OpResult(-1, errno.ENOENT, True, b""), 5, None),
        (OpResult(-1, errno.ENOENT, True, bytes([9] + [0] * 7)), 9, None),
    ],
    ids=["changed", "not_written", "failed", "failed_and_written"],
)
def test_the_memory_after_a_read_and_after_a_write(result: OpResult, memory: int, value: int | None) -> None:
    subject = Answering(result)
    batch = Batch(subject)  # type: ignore[arg-type]
    pending = [batch.get(Vcpu(), REGISTER, memory=5), batch.set_on(7, REGISTER, 5)]
    assert [(each.errno, each.memory, each.value) for each in pending] == [(-1, None, None)] * 2
    batch.run()
    assert [(each.errno, each.memory, each.value) for each in pending] == [(result.errno, memory, value)] * 2
    program = KvmProgram()
    read = program.get_reg(7, program.one_reg(REGISTER, 5))
    answer = subject.run(program)
    assert (read.value(answer), read.values(answer), read.errno(answer)) == (memory, [memory] * 2, result.errno)


class Vcpu:
    """A vCPU of no VM."""

    fd, run_address = 7, 0x10000


def test_the_memory_of_a_call_that_is_peeked() -> None:
    batch = Batch(Answering(OpResult(0, 0, True, bytes([9] + [0] * 7))))  # type: ignore[arg-type]
    pending = batch.pending("a call", batch.program.ioctl(7, 1), batch.program.peek(0x1000, 8))
    batch.run()
    assert (pending.value, pending.memory, pending.ret) == (9, 9, 0)
