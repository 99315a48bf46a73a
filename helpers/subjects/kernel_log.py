# SPDX-License-Identifier: GPL-2.0-only
"""Reads the kernel's log through /dev/kmsg (Documentation/ABI/testing/dev-kmsg): one read gives one record."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from helpers.executor.program import Arg, OpResult, Program
from helpers.subjects.base import Subject
from helpers.subjects.console import printable_text

LOG = "/dev/kmsg"
_RECORD = 8192
"""The size of one read in bytes (CONSOLE_EXT_LOG_MAX)."""
_BATCH, _MOST_BATCHES, _WHOLE = 32, 1000, 1000


def open_log(program: Program) -> Arg:
    """Open the log at the oldest record. With dmesg_restrict, the open succeeds and the first read fails."""
    return program.open(LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def read_record(program: Program, log: int | Arg) -> Arg:
    """Read the next record. EAGAIN: there is none. EPIPE: records were overwritten before they were read."""
    return program.read(log, _RECORD)


def kernel_lines(results: Iterable[OpResult]) -> list[str]:
    """The text of the records with facility 0, the kernel's own. What programs write to /dev/kmsg has another one."""
    lines = []
    for result in results:
        head, _, text = result.data.decode("utf-8", "replace").partition(";")
        priority = head.partition(",")[0]
        if not result.errno and priority.isdigit() and int(priority) < 8:
            lines.append(printable_text(text.partition("\n")[0]))
    return lines


def remaining_lines(subject: Subject, log: int) -> list[str]:
    """The kernel's lines from the next record on. The number of reads is bounded, because the log may grow as fast."""
    lines: list[str] = []
    for _ in range(_MOST_BATCHES):
        program = Program()
        reads = [read_record(program, log) for _ in range(_BATCH)]
        answer = subject.run(program)
        results = [answer[each] for each in reads]
        lines += kernel_lines(results)
        # The read after EPIPE succeeds.
        if any(result.errno not in (0, errno.EPIPE) for result in results):
            break
    return lines


def whole_log(subject: Subject) -> list[str]:
    """The kernel's lines in the oldest _WHOLE records, in one round trip."""
    program = Program()
    log = open_log(program)
    reads = [read_record(program, log) for _ in range(_WHOLE)]
    program.close(log)
    answer = subject.run(program)
    return kernel_lines(answer[each] for each in reads)
