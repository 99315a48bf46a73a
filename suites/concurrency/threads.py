# SPDX-License-Identifier: GPL-2.0-only
"""System calls with which a thread of a race times its calls."""

from __future__ import annotations

import os
import struct
import time

from helpers.executor.program import Arg, Program
from helpers.uapi import syscalls


def timespec(program: Program, ns: int) -> Arg:
    return program.scratch_bytes(struct.pack("<qq", *divmod(ns, 1_000_000_000)))


def sleep(program: Program, length: int | Arg) -> Arg:
    """clock_nanosleep(2) on CLOCK_MONOTONIC, for a number of ns or a struct timespec."""
    length = timespec(program, length) if isinstance(length, int) else length
    return program.syscall(syscalls.CLOCK_NANOSLEEP, time.CLOCK_MONOTONIC, 0, length)


def real_time(program: Program, priority: int) -> Arg:
    """sched_setscheduler(2): SCHED_FIFO for the calling thread.

    An ordinary user of a local kernel lacks the permission; the threads then keep their ordinary priority.
    """
    return program.syscall(
        syscalls.SCHED_SETSCHEDULER, 0, os.SCHED_FIFO, program.scratch_bytes(struct.pack("<i", priority))
    )
