# SPDX-License-Identifier: GPL-2.0-only
"""Watches the kernel's taint and the warnings in its log during a test."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace

from helpers.errors import HarnessError
from helpers.executor.program import Arg, OpResult, Program
from helpers.subjects.base import Subject
from helpers.subjects.kernel_log import LOG, kernel_lines, open_log, read_record, remaining_lines
from helpers.subjects.kernel_warnings import KernelWarning, warnings_in
from helpers.uapi import syscalls

TAINTED = "/proc/sys/kernel/tainted"
_COMPLAINTS = {5: "B (bad page)", 7: "D (died: oops or BUG)", 9: "W (warning)", 14: "L (soft lockup)"}
"""Taints that mean an error (Documentation/admin-guide/tainted-kernels.rst). The others describe the kernel."""
COMM = "/proc/thread-self/comm"
_LONGEST = 100
"""The most lines of warnings in a message."""


class KernelComplained(Exception):
    """The kernel under test warned in KVM, or tainted itself without a warning in other code."""


class Watch:
    """Compares the kernel's taint and log with the last check, in one round trip. Without privileges, skips either.

    A warning that does not concern KVM becomes a note.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._state: _State | None = None
        self._final: _Look | None = None
        self._notes: dict[str, None] = {}

    def begin(self) -> None:
        """Starts to watch. Earlier taints and log lines are ignored."""
        self._state = _first_look(self._subject)

    def end(self) -> None:
        """Checks a last time, for the next call of ``complaint``, and closes the log."""
        if self._final is not None:
            return
        self._final = _Look()
        state = self._state
        if state is not None and self._subject.alive and state.generation == self._subject.generation:
            self._final = self._look(state, Program())
            program = Program()
            program.close(state.log)
            self._subject.run(program)

    def complaint(self, program: Program | None = None) -> str:
        """New taints and warnings since the last check, with the lines of the log; "" if there are none.

        "" also if the kernel is not alive or was restarted. The first call after ``end`` returns the result of its
        check. The check is appended to ``program``, so that it needs no other round trip. Raises HarnessError if there
        is a new taint and the log cannot be read, because the cause is then unknown.
        """
        look = self._next_look(program or Program())
        self._notes |= dict.fromkeys(f"the kernel warned outside of KVM: {each.title}" for each in look.others)
        if look.unknown:
            raise HarnessError(
                f"{self._subject.label} tainted itself: {', '.join(look.taints)}",
                why=f"the cause is unknown, because {look.unknown}",
                cure="Look for a warning in its dmesg, or test as a user who can read /dev/kmsg",
            )
        return look.complaint

    def notes(self) -> tuple[str, ...]:
        """Returns and clears the warnings of code other than KVM."""
        notes, self._notes = tuple(self._notes), {}
        return notes

    def _next_look(self, program: Program) -> _Look:
        if self._final is not None:
            look, self._final = self._final, _Look()
            return look
        if not self._subject.alive:
            return _Look()
        if self._state is None or self._state.generation != self._subject.generation:
            self._subject.run(program)
            self.begin()
            return _Look()
        return self._look(self._state, program)

    def sees(self) -> dict[str, str]:
        """For the report: the state of the taint and the log, or why they cannot be read."""
        if self._state is None:
            self.begin()
        assert self._state is not None
        taint = self._state.taint
        shown = self._state.taint_error or (f"tainted with {taint} before the tests" if taint else "not tainted")
        return {"kernel's taint": shown, "kernel's log": self._state.log_error or "watched for warnings"}

    def _look(self, state: _State, program: Program) -> _Look:
        taint = _read_file(program, TAINTED)
        record = None if state.log_error else read_record(program, state.log)
        answer = self._subject.run(program)
        lines, unknown = [], state.log_error and f"{LOG} cannot be read"
        if record is not None and answer[record].errno != errno.EAGAIN:
            lines = [*kernel_lines([answer[record]]), *remaining_lines(self._subject, state.log)]
            unknown = "a part of its log was overwritten" if answer[record].errno == errno.EPIPE else ""
        now = state.taint if state.taint_error else state.taint | _number(answer[taint[1]])
        self._state = replace(state, taint=now)
        new = [name for bit, name in _COMPLAINTS.items() if now & ~state.taint & 1 << bit]
        return _look_of(new, warnings_in(lines), state.tasks, unknown)


@dataclass(frozen=True)
class _Look:
    """The result of one check: new taints, the complaint or why its cause is unknown, and warnings of other code."""

    taints: tuple[str, ...] = ()
    complaint: str = ""
    unknown: str = ""
    others: tuple[KernelWarning, ...] = ()


@dataclass(frozen=True)
class _State:
    """The state at the last check: the taint's bits, the log's fd in the executor, and why either cannot be read."""

    generation: int
    taint: int
    taint_error: str
    log: int
    log_error: str
    tasks: tuple[str, ...]
    """The names of the executor's threads."""


def _first_look(subject: Subject) -> _State:
    program = Program()
    taint = _read_file(program, TAINTED)
    log = open_log(program)
    first = read_record(program, log)
    # Skip the earlier records, which may be thousands.
    program.syscall(syscalls.LSEEK, log, 0, os.SEEK_END)
    comm = _read_file(program, COMM)
    answer = subject.run(program)
    # With dmesg_restrict the open succeeds and the read fails.
    log_error = _why_not(LOG, answer[log].errno, answer[first].errno if answer[first].errno != errno.EAGAIN else 0)
    taint_error = _why_not(TAINTED, *(answer[each].errno for each in taint))
    task = answer[comm[1]].data.decode("utf-8", "replace").strip()
    tasks = (task,) if task else ()
    return _State(subject.generation, _number(answer[taint[1]]), taint_error, answer[log].ret, log_error, tasks)


def _read_file(program: Program, path: str) -> tuple[Arg, Arg]:
    fd = program.open(path, os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, 32)
    program.close(fd)
    return fd, text


def _number(result: OpResult) -> int:
    text = result.data.strip()
    return int(text) if text.isdigit() else 0


def _why_not(path: str, *errors: int) -> str:
    first = next((each for each in errors if each), 0)
    return f"not watched, because {path} cannot be read ({errno.errorcode.get(first, first)})" if first else ""


def _look_of(taints: list[str], warnings: tuple[KernelWarning, ...], tasks: tuple[str, ...], unknown: str) -> _Look:
    of_kvm = [each for each in warnings if each.concerns_kvm(tasks)]
    others = tuple(each for each in warnings if each not in of_kvm)
    lines = [line for each in of_kvm for line in each.lines]
    if of_kvm or (taints and not others and not unknown):
        return _Look(tuple(taints), _complaint(taints, lines[:_LONGEST]), "", others)
    return _Look(tuple(taints), "", unknown if taints else "", others)


def _complaint(taints: list[str], lines: list[str]) -> str:
    what = f"it tainted itself: {', '.join(taints)}" if taints else "it wrote a warning to its log"
    text = "\n".join(lines) or "(its log shows no warning)"
    return f"The kernel reported an error during this test: {what}\n{text}"
