# SPDX-License-Identifier: GPL-2.0-only
"""The lines that repeated calls write to the kernel's log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from helpers.contract.check import Comparison
from helpers.errors import NotMeasured
from helpers.kvm_program import KvmProgram
from helpers.subjects.base import Subject
from helpers.subjects.kernel_log import LOG, open_log, read_record, remaining_lines
from helpers.subjects.kernel_warnings import warnings_in
from helpers.uapi import syscalls
from suites.left_behind.growth import Act

LINES_EACH = 12
"""How often a pass makes each call."""


def repeated(act: Act) -> Act:
    """Makes the calls LINES_EACH times."""

    def make(p: KvmProgram) -> None:
        with p.concurrently() as stage, stage.thread(repeat=LINES_EACH):
            act(p)

    return make


def _lines_of(subject: Subject, p: KvmProgram, log: int) -> Counter[str]:
    """Runs the program. Returns the new lines of the kernel's log, with numbers masked, without audit records."""
    thread = p.syscall(syscalls.GETTID)
    number = subject.run(p)[thread].ret
    texts = (masked(line, number) for line in without_warnings(list(remaining_lines(subject, log))))
    return Counter(text for text in texts if not text.startswith("audit"))


def without_warnings(lines: Sequence[str]) -> list[str]:
    """The lines without those of warnings, which are judged after each test: another driver's may name KVM's module."""
    warned = Counter(line for warning in warnings_in(lines) for line in warning.lines)
    return list((Counter(lines) - warned).elements())


def masked(line: str, thread: int) -> str:
    """The line without numbers. kvm_err() and similar macros begin a line with the thread. Others may use other VMs."""
    owner = re.match(r"kvm \[(\d+)\]", line)
    if owner and int(owner[1]) != thread:
        line = f"of another thread{line[owner.end() :]}"
    return re.sub(r"0x[0-9a-f]+|\d+", "N", line)


def _opened_log(subject: Subject) -> int:
    """The log's fd, at its end. Raises NotMeasured if it cannot be read."""
    program = KvmProgram()
    log = open_log(program)
    program.syscall(syscalls.LSEEK, log, 0, 2)
    first = read_record(program, log)
    answer = subject.run(program)
    if answer[log].errno or answer[first].error not in ("0", "EAGAIN", "EPIPE"):
        error = answer[log].error if answer[log].errno else answer[first].error
        raise NotMeasured(f"{LOG} cannot be read by this user ({error})")
    return answer[log].ret


def flood(passes: list[Counter[str]], control: Counter[str]) -> list[str]:
    """The lines that calls cause, from two passes of these calls and a pass of other calls (``control``).

    A line that names KVM counts if it is in the second pass or twice in the first, because printk_once() prints once.
    Other code may log at any time. So any other line counts only if both passes have it for every second call of a
    kind, and ``control`` has fewer.
    """
    first, second = passes
    return sorted(
        text
        for text in first | second
        if ("kvm" in text.lower() and (second[text] or first[text] > 1) and not control[text])
        or (min(first[text], second[text]) >= LINES_EACH // 2 > control[text])
    )


def compare_log(
    comparison: Comparison,
    what: str,
    subject: Subject,
    renew: Callable[[], float],
    make: Act,
    control: Act,
) -> None:
    """Compares that ``make``, which makes each call LINES_EACH times, writes no line more than once.

    ``control`` makes other calls. ``renew`` restarts the test's timeout. Raises NotMeasured.
    """
    log = _opened_log(subject)

    def lines(calls: Act) -> Counter[str]:
        renew()
        program = KvmProgram(deadline_ms=60_000)
        calls(program)
        return _lines_of(subject, program, log)

    others = lines(control)
    caused = flood([lines(make), lines(make)], others)
    program = KvmProgram()
    program.close(log)
    subject.run(program)
    comparison.that(not caused, f"the kernel's log after {what}", "no line", " | ".join(caused[:5]))
