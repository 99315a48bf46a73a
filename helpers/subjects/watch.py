# SPDX-License-Identifier: GPL-2.0-only
"""Whether a kernel complains while it is tested: its taint, and warnings in its log, of which it says nothing else."""

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
"""Taints by which a kernel complains (Documentation/admin-guide/tainted-kernels.rst); the others say what it is."""
_WARNING = re.compile(
    r"^(WARNING: |BUG: |Internal error: |Oops|Unable to handle kernel |kernel BUG at |UBSAN: |INFO: rcu|rcu: INFO: "
    r"|INFO: task .* blocked|watchdog: BUG|=+\[ cut here|-+\[ cut here|INFO: possible |kvm \[\d+\]: nVHE hyp BUG)"
)
_LONGEST = 100
"""Lines of one warning."""


class KernelComplained(Exception):
    """The kernel under test warned or tainted itself, whatever it answered."""


class Watch:
    """Reads taint and log in one round trip, from where the last look ended; without privileges what it can."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._seen: _State | None = None
        self._last: str | None = None

    def begin(self) -> None:
        """Takes the kernel as it is: what it said and was before does not count."""
        self._seen = _first_look(self._subject)

    def end(self) -> None:
        """Looks a last time, for ``complaint`` to tell, and leaves nothing open on a machine that lives on."""
        if self._last is not None:
            return
        self._last = ""
        seen = self._seen
        if seen is not None and self._subject.alive and seen.generation == self._subject.generation:
            self._last = self._look(seen)
            program = Program()
            program.close(seen.log)
            self._subject.run(program)

    def complaint(self) -> str:
        """What the kernel complained of since the last look, in its own words; "" for nothing.

        A kernel that is not alive, or was started since, is taken as it is then. After the end: what the last look saw.
        """
        if self._last is not None:
            told, self._last = self._last, ""
            return told
        if not self._subject.alive:
            return ""
        if self._seen is None or self._seen.generation != self._subject.generation:
            self.begin()
            return ""
        return self._look(self._seen)

    def sees(self) -> dict[str, str]:
        """What can be watched, for the report: taint and log, each with its state or why it cannot be read."""
        if self._seen is None:
            self.begin()
        assert self._seen is not None
        taint = self._seen.taint
        shown = self._seen.taint_error or ("not tainted" if not taint else f"tainted with {taint} before the tests")
        return {"kernel's taint": shown, "kernel's log": self._seen.log_error or "watched for warnings"}

    def _look(self, seen: _State) -> str:
        program = Program()
        taint = _read_taint(program)
        record = read_record(program, seen.log) if not seen.log_error else None
        answer = self._subject.run(program)
        lines = []
        if record is not None and answer[record].errno != errno.EAGAIN:
            lines = [*kernel_lines([answer[record]]), *remaining_lines(self._subject, seen.log)]
        now = seen.taint if seen.taint_error else seen.taint | _number(answer[taint[1]])
        self._seen = replace(seen, taint=now)
        new = [name for bit, name in _COMPLAINTS.items() if now & ~seen.taint & 1 << bit]
        return _told(new, _warnings(lines))


@dataclass(frozen=True)
class _State:
    """The last look: the taint's bits, the log's fd (in the executor), and why either cannot be read."""

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
    # Behind what it said so far, which may be thousands of lines.
    program.syscall(syscalls.LSEEK, log, 0, os.SEEK_END)
    answer = subject.run(program)
    # An open that succeeds proves nothing: with dmesg_restrict it is the read that is refused.
    log_errors = [answer[log].errno, answer[first].errno if answer[first].errno != errno.EAGAIN else 0]
    return _State(
        subject.generation, _number(answer[taint[1]]), _why_not(TAINTED, *(answer[each].errno for each in taint)),
        answer[log].ret, _why_not(LOG, *log_errors),
    )  # fmt: skip


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
    """From the first warning on, for it goes over many lines."""
    first = next((i for i, line in enumerate(lines) if _WARNING.match(line)), None)
    return [] if first is None else lines[first : first + _LONGEST]


def _told(taints: list[str], lines: list[str]) -> str:
    if not taints and not lines:
        return ""
    what = f"it tainted itself: {', '.join(taints)}" if taints else "it wrote a warning to its log"
    said = "\n".join(lines) or "(its log shows no warning, or cannot be read)"
    return f"The kernel complained during this test: {what}\n{said}"
