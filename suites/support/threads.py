# SPDX-License-Identifier: GPL-2.0-only
"""How the threads of a race are scheduled, and how they time their calls."""

from __future__ import annotations

import os
import struct
import time

from helpers.batch import KvmError
from helpers.errors import NotMeasured
from helpers.executor.program import Answer, Arg, Program
from helpers.kvm import Kvm
from helpers.placement import Placement, bind, set_scheduler
from helpers.uapi import syscalls


def timespec(program: Program, ns: int) -> Arg:
    """A struct timespec of ``ns`` in the program's memory."""
    return program.scratch_bytes(struct.pack("<qq", *divmod(ns, 1_000_000_000)))


def sleep(program: Program, length: int | Arg) -> Arg:
    """clock_nanosleep(2) on CLOCK_MONOTONIC, for a number of ns or a struct timespec."""
    length = timespec(program, length) if isinstance(length, int) else length
    return program.syscall(syscalls.CLOCK_NANOSLEEP, time.CLOCK_MONOTONIC, 0, length)


def join_race(program: Program, placement: Placement, rank: int, *, core: int) -> None:
    """Sets the calling thread's core and priority. ``rank`` 0 is the lowest, ``core`` an index into the placement's.

    A thread whose timer expires preempts one of a lower rank on its core, in the middle of a call if the kernel is
    preemptible: with SCHED_FIFO, or, without privileges, because a waking thread preempts one of SCHED_IDLE at once
    (kernel/sched/fair.c, check_preempt_wakeup_fair). Between threads of ordinary priority the scheduler protects the
    one that runs for a slice of milliseconds.
    """
    if placement.cores:
        bind(program, [placement.cores[core % len(placement.cores)]])
    if placement.real_time:
        set_scheduler(program, os.SCHED_FIFO, rank + 1)
    elif not rank:
        set_scheduler(program, os.SCHED_IDLE)


def run_alone(kvm: Kvm, program: Program) -> Answer:
    """Runs the program of a race. If its threads have several cores, no other worker uses the machine meanwhile."""
    program.alone = len(kvm.placement.cores) > 1
    return kvm.subject.run(program)


def run_to_the_end(kvm: Kvm, program: Program, what: str) -> Answer:
    """As ``run_alone``. Raises KvmError if the program did not end before its deadline.

    Raises NotMeasured instead if the threads have no real-time priority: other processes may have used the core.
    """
    answer = run_alone(kvm, program)
    if answer.expired and not kvm.placement.real_time:
        raise NotMeasured(f"{what} did not end before the deadline, with threads of ordinary priority")
    if answer.expired:
        raise KvmError(f"{what} did not end before the deadline")
    return answer


def arrangements(kvm: Kvm) -> tuple[bool, ...]:
    """The arrangements of a race's threads: False for several cores, if there are any, and then True for one core."""
    return (False, True) if len(kvm.placement.cores) > 1 else (True,)
