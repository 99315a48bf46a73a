# SPDX-License-Identifier: GPL-2.0-only
"""Watches the kernel's taint and the warnings in its log during a test."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, replace

from helpers.executor.program import Arg, OpResult, Program
from helpers.subjects.base import Subject
from helpers.subjects.kernel_log import LOG, kernel_lines, open_log, read_record, remaining_lines
from helpers.uapi import syscalls

TAINTED = "/proc/sys/kernel/tainted"
_COMPLAINTS = {5: "B (bad page)", 7: "D (died: oops or BUG)", 9: "W (warning)", 14: "L (soft lockup)"}
"""Taints that mean an error (Documentation/admin-guide/tainted-kernels.rst). The others describe the kernel."""
_WARNING = re.compile(
    r"^(WARNING: |BUG: |Internal error: |Oops|Unable to handle kernel |kernel BUG at |UBSAN: |INFO: rcu|rcu: INFO: "
    r"|INFO: task .* blocked|watchdog: BUG|=+\[ cut here|-+\[ cut here|INFO: possible |kvm \[\d+\]: nVHE hyp BUG)"
)
_LONGEST = 100
"""Lines of one warning."""


class KernelComplained(Exception):
    """The kernel under test warned or tainted itself."""


class Watch:
    """Compares taint and log with the last look, in one round trip. Skips what needs missing privileges."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._state: _State | None = None
        self._final: str | None = None

    def begin(self) -> None:
        """Earlier taints and log lines do not count."""
        self._state = _first_look(self._subject)

    def end(self) -> None:
        """Looks a last time, for ``complaint``, and closes the log."""
        if self._final is not None:
            return
        self._final = ""
        state = self._state
        if state is not None and self._subject.alive and state.generation == self._subject.generation:
            self._final = self._look(state)
            program = Program()
            program.close(state.log)
            self._subject.run(program)

    def complaint(self) -> str:
        """New taints and warnings since the last look, with the lines of the log; "" for none.

        "" also if the kernel is not alive, or was started since. After ``end``: the result of its look, once.
        """
        if self._final is not None:
            complaint, self._final = self._final, ""
            return complaint
        if not self._subject.alive:
            return ""
        if self._state is None or self._state.generation != self._subject.generation:
            self.begin()
            return ""
        return self._look(self._state)

    def sees(self) -> dict[str, str]:
        """For the report: the state of the taint and the log, or why they cannot be read."""
        if self._state is None:
            self.begin()
        assert self._state is not None
        taint = self._state.taint
        shown = self._state.taint_error or (f"tainted with {taint} before the tests" if taint else "not tainted")
        return {"kernel's taint": shown, "kernel's log": self._state.log_error or "watched for warnings"}

    def _look(self, state: _State) -> str:
        program = Program()
        taint = _read_taint(program)
        record = None if state.log_error else read_record(program, state.log)
        answer = self._subject.run(program)
        lines = []
        if record is not None and answer[record].errno != errno.EAGAIN:
            lines = [*kernel_lines([answer[record]]), *remaining_lines(self._subject, state.log)]
        now = state.taint if state.taint_error else state.taint | _number(answer[taint[1]])
        self._state = replace(state, taint=now)
        new = [name for bit, name in _COMPLAINTS.items() if now & ~state.taint & 1 << bit]
        return _complaint(new, _warnings(lines))


@dataclass(frozen=True)
class _State:
    """The last look: the taint's bits, the log's fd in the executor, and why either cannot be read."""

    generation: int
    taint: int
    taint_error: str
    log: int
    log_error: str


def _first_look(subject: Subject) -> _State:
    program = Program()
    taint = _read_taint(program)
    log = open_log(program)
    first = read_record(program, log)
    # Skip the earlier records, which may be thousands.
    program.syscall(syscalls.LSEEK, log, 0, os.SEEK_END)
    answer = subject.run(program)
    # With dmesg_restrict the open succeeds and the read fails.
    log_error = _why_not(LOG, answer[log].errno, answer[first].errno if answer[first].errno != errno.EAGAIN else 0)
    taint_error = _why_not(TAINTED, *(answer[each].errno for each in taint))
    return _State(subject.generation, _number(answer[taint[1]]), taint_error, answer[log].ret, log_error)


def _read_taint(program: Program) -> tuple[Arg, Arg]:
    fd = program.open(TAINTED, os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, 32)
    program.close(fd)
    return fd, text


def _number(result: OpResult) -> int:
    text = result.data.strip()
    return int(text) if text.isdigit() else 0


def _why_not(path: str, *errors: int) -> str:
    first = next((each for each in errors if each), 0)
    return f"not watched, because {path} cannot be read ({errno.errorcode.get(first, first)})" if first else ""


def _warnings(lines: list[str]) -> list[str]:
    """The lines from the first warning on: a warning has many lines."""
    first = next((i for i, line in enumerate(lines) if _WARNING.match(line)), None)
    return [] if first is None else lines[first : first + _LONGEST]


def _complaint(taints: list[str], lines: list[str]) -> str:
    if not taints and not lines:
        return ""
    what = f"it tainted itself: {', '.join(taints)}" if taints else "it wrote a warning to its log"
    text = "\n".join(lines) or "(its log shows no warning, or cannot be read)"
    return f"The kernel complained during this test: {what}\n{text}"
