# SPDX-License-Identifier: GPL-2.0-only
"""The executor at its limits: the deadline, blocked signals, the data budget, two programs at once."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from helpers import build
from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Arg, Program

# System call numbers of this machine.
ARM64 = os.uname().machine == "aarch64"
RT_SIGPROCMASK, GETPID, GETTID, TGKILL = (135, 172, 178, 131) if ARM64 else (14, 39, 186, 234)
BUDGET = 16 << 20
"""KHX_MAX_DATA of executor.h."""


def run(native: Native, program: Program) -> Answer:
    return wire.decode(program, native.run(wire.encode(program)))


def block(program: Program, *signals: int, everything: bool = False) -> None:
    mask = (1 << 64) - 1 if everything else sum(1 << number - 1 for number in signals)
    program.syscall(RT_SIGPROCMASK, signal.SIG_BLOCK, program.scratch_bytes(struct.pack("<Q", mask)), 0, 8)


def test_the_soft_limit_of_files_is_raised_for_the_program(native: Native) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 2, before[1]))
    try:
        program = Program()
        files = [program.open("/dev/null", os.O_RDONLY) for _ in range(10)]
        for file in files:
            program.close(file)
        answer = run(native, program)
        assert [answer[file].error for file in files] == ["0"] * 10
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (lowest + 2, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def in_a_thread(work: Callable[[], object]) -> tuple[set[int], set[int]]:
    """Runs WORK in a new thread; returns the thread's signal mask and pending signals after it."""
    states: list[tuple[set[int], set[int]]] = []

    def main() -> None:
        work()
        states.append((set(signal.pthread_sigmask(signal.SIG_BLOCK, ())), set(signal.sigpending())))

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    return states[0]


def test_the_signal_mask_ends_with_the_program(native: Native, silent_pipe: int) -> None:
    program = Program(deadline_ms=500)
    block(program, signal.SIGUSR1)
    program.read(silent_pipe, 1)
    before = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    assert in_a_thread(lambda: run(native, program)) == (before, set())


def test_a_signal_that_a_program_left_pending_is_discarded(native: Native, silent_pipe: int) -> None:
    program = Program(deadline_ms=500)
    block(program, signal.SIGUSR1)
    program.syscall(TGKILL, program.syscall(GETPID), program.syscall(GETTID), signal.SIGUSR1)
    program.read(silent_pipe, 1)
    mask, pending = in_a_thread(lambda: run(native, program))
    assert signal.SIGUSR1 not in mask | pending


def test_a_signal_from_another_process_is_delivered_after_the_program(native: Native, silent_pipe: int) -> None:
    deliveries: list[int] = []
    program = Program(deadline_ms=500)
    block(program, signal.SIGUSR2)
    program.read(silent_pipe, 1)
    before = signal.signal(signal.SIGUSR2, lambda number, _: deliveries.append(number))
    try:
        with subprocess.Popen(["sh", "-c", f"sleep .1; kill -USR2 {os.getpid()}"]):
            assert run(native, program).expired
        assert deliveries == [signal.SIGUSR2]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        signal.signal(signal.SIGUSR2, before)


BLOCKED = f"""
import os
from {__name__} import Native, Program, block, build, run
program = Program(deadline_ms=500)
block(program, everything=True)
unmapped = program.peek(0, 8)
blocked = program.read(os.pipe()[0], 1)
answer = run(Native(build.NATIVE), program)
print(answer[unmapped].error, answer[blocked].error)
"""


def in_a_process(script: str) -> subprocess.CompletedProcess[str]:
    """Runs SCRIPT in a new process: a defect may end or block the process."""
    environment = {**os.environ, "PYTHONPATH": str(build.ROOT)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=10)


def test_a_program_that_blocks_all_signals(native: Native) -> None:
    done = in_a_process(BLOCKED)
    assert (done.returncode, done.stdout) == (0, "EFAULT EINTR\n"), done.stderr


TWO_PROGRAMS = f"""
import os, threading
from {__name__} import HarnessError, Native, Program, build, run
native = Native(build.NATIVE)
def blocked(milliseconds):
    program = Program(deadline_ms=milliseconds)
    read = program.read(os.pipe()[0], 1)
    try:
        print(run(native, program)[read].error)
    except HarnessError as error:
        print(error)
threads = [threading.Thread(target=blocked, args=(each,)) for each in (300, 600)]
[each.start() for each in threads]
[each.join() for each in threads]
"""


def test_a_second_program_at_the_same_time_is_refused(native: Native) -> None:
    done = in_a_process(TWO_PROGRAMS)
    assert done.returncode == 0, done.stderr
    assert "another program still runs in this process" in done.stdout and "EINTR\n" in done.stdout


def test_a_barrier_at_the_deadline_is_interrupted(native: Native) -> None:
    program = Program(deadline_ms=500)
    with program.concurrently() as stage:
        with stage.thread():
            barrier = program.barrier()
        with stage.thread():
            program.close(-1)
    assert run(native, program)[barrier].error == "EINTR"


def test_an_empty_list_is_repeated_at_once(native: Native) -> None:
    threads = struct.pack("<II", 2, 0) + struct.pack("<II", 2**32 - 1, 0) * 2
    request = struct.pack("<IHHIIIIII", wire.MAGIC, wire.VERSION, 1, 100, 0, 1, 0, 0, 0) + threads
    began = time.monotonic()
    answer = native.run(request)
    assert time.monotonic() - began < 0.5
    assert answer == struct.pack("<IHHIII", wire.MAGIC, wire.VERSION, 0, 0, 0, 0)


def test_the_result_of_an_operation_that_never_ran_is_no_file_descriptor(native: Native) -> None:
    program = Program()
    with program.concurrently() as stage, stage.thread(repeat=0):
        opened = program.open("/dev/null", os.O_RDONLY)
    read = program.read(opened, 0)
    assert run(native, program)[read].error == "EBADF"


SPEND: dict[str, Callable[[Program, Arg], object]] = {
    "unmapped_peek": lambda program, _: program.peek(0, BUDGET),
    "failed_read": lambda program, _: program.read(-1, BUDGET),
    "short_read": lambda program, _: program.read(program.open("/proc/self/comm", os.O_RDONLY), BUDGET),
    "peek_over_budget": lambda program, zeros: (program.peek(zeros, 4096), program.peek(zeros, BUDGET)),
}


@pytest.mark.parametrize("spend", SPEND.values(), ids=SPEND)
def test_only_the_bytes_of_the_answer_count(spend: Callable[[Program, Arg], object], native: Native) -> None:
    program = Program()
    zeros = program.mmap(BUDGET, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    spend(program, zeros)
    peek = program.peek(zeros, BUDGET - 8192)
    program.munmap(zeros, BUDGET)
    assert run(native, program)[peek].errno == 0


def test_the_answer_has_a_limit(native: Native) -> None:
    program = Program()
    zeros = program.mmap(BUDGET, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    peeks = [program.peek(zeros, BUDGET), program.peek(zeros, 1), program.peek(zeros, 2**64 - 1)]
    program.munmap(zeros, BUDGET)
    answer = run(native, program)
    assert [answer[peek].errno for peek in peeks] == [0, errno.ENOMEM, errno.ENOMEM]


def test_a_request_that_is_too_long_is_not_sent() -> None:
    program = Program()
    for _ in range(3):
        program.write(-1, bytes(2 << 20))
    with pytest.raises(HarnessError, match="4194304"):
        wire.encode(program)
