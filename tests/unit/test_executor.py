# SPDX-License-Identifier: GPL-2.0-only
"""The executor and its wire format, with programs of ordinary system calls on the build machine."""

from __future__ import annotations

import errno
import mmap
import os
import platform
import signal
import struct
import termios
import time
from pathlib import Path

import pytest

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Code, Program
from helpers.kvm_program import KvmProgram

RW, PRIVATE = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def run(native: Native, program: Program) -> Answer:
    return wire.decode(program, native.run(wire.encode(program)))


def test_results_are_arguments(native: Native, tmp_path: Path) -> None:
    program = Program()
    fd = program.open(str(tmp_path / "f"), os.O_CREAT | os.O_RDWR, 0o600)
    wrote = program.write(fd, b"hello")
    again = program.open(str(tmp_path / "f"), os.O_RDONLY)
    read = program.read(again, 100)
    closed = [program.close(fd), program.close(again)]
    answer = run(native, program)
    assert answer[wrote].ret == 5
    assert answer[read].data == b"hello"
    assert [answer[c].ret for c in closed] == [0, 0]


def test_any_system_call(native: Native) -> None:
    program = Program()
    # System call numbers of this machine.
    number = {"x86_64": 39, "aarch64": 172}[platform.machine()]
    process, missing = program.syscall(number), program.syscall(10_000, 1, 2, 3, 4, 5)
    answer = run(native, program)
    assert answer[process].ret == os.getpid()
    assert answer[missing].error == "ENOSYS"


def interrupts(program: Program, request: int, error: int = errno.EINTR) -> None:
    """Lets every ioctl of this thread with ``request`` end with an errno (seccomp_filter in linux/seccomp.h)."""
    ioctl, no_new_privileges, seccomp = {"x86_64": (16, 157, 317), "aarch64": (29, 167, 277)}[platform.machine()]
    load, equal, ret, allow, fail = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000 | error
    # struct seccomp_data: the system call's number at byte 0, the low half of its second argument at byte 24.
    rules = (
        (load, 0, 0, 0), (equal, 0, 3, ioctl), (load, 0, 0, 24), (equal, 0, 1, request), (ret, 0, 0, fail),
        (ret, 0, 0, allow),
    )  # fmt: skip
    code = program.scratch_bytes(b"".join(struct.pack("<HBBI", *rule) for rule in rules))
    filter_ = program.scratch_bytes(struct.pack("<QQ", len(rules), 0))
    program.poke_address(filter_ + 8, code)
    program.syscall(no_new_privileges, 38, 1)
    program.syscall(seccomp, 1, 0, filter_)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
def test_ioctl_that_is_interrupted(again: bool, native: Native) -> None:
    """Called again until the deadline, or not at all."""
    program = Program(deadline_ms=200)
    with program.concurrently() as stage:
        with stage.thread():
            interrupts(program, 0x1234)
            done = (program.ioctl_again if again else program.ioctl)(-1, 0x1234)
            other = program.ioctl_again(-1, 0x4321)
        with stage.thread():
            program.clock(time.CLOCK_MONOTONIC)
    answer = run(native, program)
    assert answer[done].error == "EINTR" and answer.expired is again
    assert not answer[other].ran if again else answer[other].error == "EBADF"


def test_any_errno(native: Native) -> None:
    """Also those that no kernel should return."""
    errors, program = (1, 253, 254, 255, 256, 515, 4095), Program()
    with program.concurrently() as stage:
        done = []
        for number, error in enumerate(errors):
            with stage.thread():
                interrupts(program, 0x1000 + number, error)
                done.append(program.ioctl(-1, 0x1000 + number))
    answer = run(native, program)
    assert [(answer[each].ret, answer[each].errno) for each in done] == [(-1, error) for error in errors]


def test_a_run_is_repeated_unless_eintr_is_the_answer() -> None:
    program = KvmProgram()
    program.run(3)
    program.run(3, immediate_exit=True)
    program.run(3, signalled=True)
    (thread,) = program.stages[0]
    assert [op.code for _, op in thread.ops] == [Code.IOCTL_AGAIN, Code.IOCTL, Code.IOCTL]


def test_errno(native: Native) -> None:
    program = Program()
    missing, bad = program.open("/nowhere/at/all", os.O_RDONLY), program.ioctl(-1, 0x1234)
    answer = run(native, program)
    assert (answer[missing].ret, answer[missing].error) == (-1, "ENOENT")
    assert answer[bad].error == "EBADF"


def test_memory(native: Native) -> None:
    program = Program()
    memory = program.mmap(8192, RW, PRIVATE)
    program.poke(memory + 4090, b"across pages")
    program.poke_address(memory, memory + 1)
    text, address = program.peek(memory + 4090, 12), program.peek(memory, 8)
    munmap = program.munmap(memory, 8192)
    peek, poke = program.peek(memory, 1), program.poke(memory, b"x")
    answer = run(native, program)
    assert answer[text].data == b"across pages"
    assert struct.unpack("<Q", answer[address].data)[0] == answer[memory].ret + 1
    assert answer[munmap].ret == 0
    assert (answer[peek].errno, answer[peek].data, answer[poke].errno) == (errno.EFAULT, b"", errno.EFAULT)


def test_scratch_is_zero_each_time(native: Native) -> None:
    for _ in range(2):
        program = Program()
        at = program.scratch(64)
        before = program.peek(at, 64)
        program.poke(at, b"\xff" * 64)
        assert run(native, program)[before].data == bytes(64)


def test_scratch_holds_structures_with_pointers(native: Native) -> None:
    """Far apart and close to each other, before the first operation."""
    program = Program()
    near, text = program.scratch(24), program.scratch_bytes(b"text")
    program.scratch(8192)
    far = program.scratch(16)
    program.fill(near, b"A" * 24, text, 8)
    program.fill(far, bytes(16), far, 8)
    found = [program.peek(at, 24) for at in (near, far)]
    followed = program.peek(program.scratch(16), 16)
    answer = run(native, program)
    (address,) = struct.unpack_from("<Q", answer[found[0]].data, 8)
    assert answer[found[0]].data == b"A" * 8 + struct.pack("<Q", address) + b"A" * 8
    assert struct.unpack_from("<QQ", answer[found[1]].data) == (0, address - text.value + far.value)
    assert answer[followed].data == bytes(16)


def test_a_repeated_thread_fills_the_memory_again(native: Native) -> None:
    program = Program()
    with program.concurrently() as stage, stage.thread(repeat=2):
        at = program.scratch_bytes(b"first")
        before = program.peek(at, 5)
        program.poke(at, b"later")
    assert [each.data for each in run(native, program).results[before.index]] == [b"first"] * 2


def test_an_ioctl_with_the_memory_that_it_writes(native: Native, silent_pipe: int) -> None:
    program = Program()
    room = program.scratch_bytes(b"\xff" * 4)
    waiting = program.ioctl_peek(silent_pipe, termios.FIONREAD, room, room, 4)
    unmapped = program.ioctl_peek(-1, termios.FIONREAD, room, 16, 4)
    answer = run(native, program)
    assert (answer[waiting].errno, answer[waiting].data) == (0, bytes(4))
    assert (answer[unmapped].error, answer[unmapped].data) == ("EBADF", b"")


def test_threads_start_together_and_repeat(native: Native, tmp_path: Path) -> None:
    program = Program()
    fd = program.open(str(tmp_path / "f"), os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    refs = []
    with program.concurrently() as stage:
        for letter in (b"a", b"b", b"c"):
            with stage.thread(repeat=50):
                refs.append(program.write(fd, letter))
    program.close(fd)
    answer = run(native, program)
    assert [len(answer.results[r.index]) for r in refs] == [50, 50, 50]
    assert sorted((tmp_path / "f").read_bytes()) == sorted(b"abc" * 50)


def test_threads_meet_at_a_barrier(native: Native, tmp_path: Path) -> None:
    program = Program()
    fd = program.open(str(tmp_path / "f"), os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    with program.concurrently() as stage:
        for letter in (b"a", b"b", b"c"):
            with stage.thread(repeat=40):
                program.write(fd, letter)
                program.barrier()
    program.close(fd)
    run(native, program)
    written = (tmp_path / "f").read_bytes()
    assert [sorted(written[i : i + 3]) for i in range(0, 120, 3)] == [sorted(b"abc")] * 40


def test_deadline_after_some_threads_have_ended(native: Native, silent_pipe: int) -> None:
    for _ in range(5):
        # Long enough for a busy machine to start all threads.
        program = Program(deadline_ms=300)
        with program.concurrently() as stage:
            with stage.thread():
                blocked = program.read(silent_pipe, 1)
            for _ in range(20):
                with stage.thread():
                    program.close(-1)
        assert run(native, program)[blocked].error == "EINTR"


def test_deadline_ends_a_barrier_that_nobody_else_reaches(native: Native) -> None:
    program = Program(deadline_ms=200)
    with program.concurrently() as stage:
        with stage.thread():
            program.barrier()
            after = program.clock(time.CLOCK_REALTIME)
        with stage.thread():
            program.close(-1)
    answer = run(native, program)
    assert answer.expired and not answer[after].ran


@pytest.mark.parametrize("concurrent", [False, True])
def test_deadline_interrupts_a_blocked_call(concurrent: bool, native: Native, silent_pipe: int) -> None:
    program = Program(deadline_ms=200)
    if concurrent:
        with program.concurrently() as stage:
            for _ in range(2):
                with stage.thread():
                    blocked = program.read(silent_pipe, 1)
    else:
        blocked = program.read(silent_pipe, 1)
    after = program.clock(time.CLOCK_REALTIME)
    answer = run(native, program)
    assert answer.expired
    assert answer[blocked].error == "EINTR"
    assert not answer[after].ran


def test_a_forked_child_returns_its_results(native: Native, tmp_path: Path) -> None:
    """What it opens and writes in private memory is its own; what follows in the parent has its results."""
    program, number = Program(), {"x86_64": 39, "aarch64": 172}[platform.machine()]
    memory = program.scratch_bytes(b"parent")
    fd = program.open(str(tmp_path / "f"), os.O_CREAT | os.O_RDWR, 0o600)
    with program.forked():
        process = program.syscall(number)
        program.poke(memory, b"child!")
        seen, wrote = program.peek(memory, 6), program.write(fd, b"shared offset")
        missing, closed = program.ioctl(-1, 0x1234), program.close(fd)
    kept, more = program.peek(memory, 6), program.write(fd, b", kept")
    program.poke_address(memory, wrote)
    result = program.peek(memory, 8)
    program.close(fd)
    answer = run(native, program)
    assert answer[process].ret not in (os.getpid(), -1)
    assert (answer[seen].data, answer[kept].data) == (b"child!", b"parent")
    assert (answer[wrote].ret, answer[missing].error, answer[closed].ret) == (13, "EBADF", 0)
    assert answer[more].ret == 6 and answer[result].data == struct.pack("<Q", 13)
    assert (tmp_path / "f").read_bytes() == b"shared offset, kept"


def test_the_deadline_ends_a_forked_child(native: Native, silent_pipe: int) -> None:
    """The results until then arrive. No child is left, and the next program runs."""
    for _ in range(3):
        program = Program(deadline_ms=1000)
        with program.forked():
            before, blocked, after = program.close(-1), program.read(silent_pipe, 1), program.close(-1)
        later = program.close(-1)
        answer = run(native, program)
        assert answer.expired and answer[before].error == "EBADF"
        assert not answer[blocked].ran and not answer[after].ran and not answer[later].ran
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


def test_a_forked_child_that_dies(native: Native) -> None:
    """The operations after its death are not run; the parent goes on."""
    program = Program()
    pid, kill = {"x86_64": (39, 62), "aarch64": (172, 129)}[platform.machine()]
    with program.forked():
        child = program.syscall(pid)
        killed = program.syscall(kill, child, signal.SIGKILL)
    later = program.close(-1)
    answer = run(native, program)
    assert not answer[killed].ran and not answer.expired and answer[later].error == "EBADF"


def test_a_forked_child_with_several_threads_is_refused(native: Native) -> None:
    program = Program()
    with program.concurrently() as stage:
        for _ in range(2):
            with stage.thread() as thread:
                thread.close(-1)
    program.stages[1][0].forked = True
    with pytest.raises(HarnessError, match="several threads"):
        run(native, program)


def test_a_deadline_can_be_shortened_but_not_lengthened(native: Native, silent_pipe: int) -> None:
    program = Program(deadline_ms=60_000)
    program.read(silent_pipe, 1)
    before = time.monotonic()
    assert wire.decode(program, native.run(wire.encode(program, deadline_ms=100))).expired
    assert time.monotonic() - before < 5
    short = Program(deadline_ms=50)
    assert wire.encode(short, deadline_ms=100) == wire.encode(short)
