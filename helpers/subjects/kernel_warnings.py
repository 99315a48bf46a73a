# SPDX-License-Identifier: GPL-2.0-only
"""Warnings in the kernel's log, and whether each one concerns KVM. Other drivers also warn while a test runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_HEAD = re.compile(
    r"^(WARNING: |BUG: |Internal error: |Oops|Unable to handle kernel |kernel BUG at |UBSAN: |INFO: rcu|rcu: INFO: "
    r"|INFO: task .* blocked|watchdog: BUG|=+\[ cut here|-+\[ cut here|INFO: possible |kvm \[\d+\]: nVHE hyp BUG)"
)
_RULE = re.compile(r"^[-=]+(\[ cut here.*)?$")
_END = re.compile(r"^-+\[ end trace")
_TRACE = re.compile(r"^Call trace:|^ *stack backtrace:")
_FRAME = re.compile(r"^ *(?:\[<[0-9a-f]+>\] )?\(?[A-Za-z_][\w.$]*\+0x[0-9a-f]+/0x[0-9a-f]+")
_SYMBOL = re.compile(r"([A-Za-z_][\w.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
_LONGEST = 200
"""The most lines of one warning."""

_KVM_SYMBOL = re.compile(r"kvm(?!alloc|emdup|realloc)|vgic|vcpu|nvhe|stage2")
"""Functions of KVM, without kvmalloc() and kvmemdup(), which belong to the memory management."""
_KVM_TEXT = re.compile(r"\b(?:arch/\w+|virt|include)/[\w./]*kvm|&\(?&?(?:kvm|vcpu)\b")
"""Source files and locks of KVM."""
_KVM_MESSAGE = re.compile(r"^kvm(?: \[\d+\])?: ")
_NO_CAUSE = re.compile(r"^(Modules linked in|Hardware name):")
"""Lines that may contain "kvm" in a warning of any cause."""
_INTERRUPT = re.compile(r"^(el[01]h?t?(_64)?_(interrupt|irq|fiq)\w*|call_on_irq_stack|__do_softirq|handle_softirqs)")
"""Stack frames of an interrupt's entry. The interrupted functions below them did not cause the warning."""
_STALL = re.compile(r"rcu|watchdog|lockup|blocked for")
"""Warnings that an interrupt reports about the interrupted functions."""
_IOCTL = re.compile(r"sys_ioctl")
_SYSCALL = re.compile(r"^__(?:arm64_)?(?:compat_)?sys_\w+")
_CPU = re.compile(r"CPU: \d+ (?:UID: \d+ )?PID: \d+ |, CPU#\d+: .*$")
"""The part of a warning's first line that differs between occurrences."""


@dataclass(frozen=True)
class KernelWarning:
    """The lines of one warning, from its first line to the end of its trace or to the next warning."""

    lines: tuple[str, ...]

    @property
    def title(self) -> str:
        """The line that identifies the warning, without the processor and the process."""
        heads = (line for line in self.lines if _HEAD.match(line) and not _RULE.match(line))
        text = next(heads, self.lines[0])
        return _CPU.sub("", text).strip()

    def concerns_kvm(self, tasks: Iterable[str]) -> bool:
        """Whether it contains a name of KVM, or was raised in an ioctl of one of ``tasks``, or has no stack trace, so
        that its cause is unknown. ``tasks`` are the names (comm) of the executor's threads.
        """
        stall = any(_STALL.search(line) for line in self.lines if _HEAD.match(line))
        frames, interrupted = _frames(self.lines, whole=stall)
        if not frames or _KVM_MESSAGE.match(self.title):
            return True
        texts = [line for line in self.lines if not _FRAME.match(line) and not _NO_CAUSE.match(line)]
        symbols = [*frames, *(symbol for line in texts for symbol in _SYMBOL.findall(line))]
        if any(map(_KVM_SYMBOL.search, symbols)) or any(map(_KVM_TEXT.search, texts)):
            return True
        calls = [frame for frame in frames if _SYSCALL.match(frame)]
        ioctl = not calls or any(map(_IOCTL.search, calls))
        return ioctl and not interrupted and any(_is_of_task(line, task) for line in texts for task in tasks)


def warnings_in(lines: Iterable[str]) -> tuple[KernelWarning, ...]:
    """The warnings in the lines of the log. An oops prints several first lines before its stack trace."""
    warnings: list[list[str]] = []
    complete = True
    for line in lines:
        if _HEAD.match(line) and complete:
            warnings.append([])
            complete = False
        if warnings and len(warnings[-1]) < _LONGEST and not (complete and _END.match(warnings[-1][-1])):
            warnings[-1].append(line)
            complete |= bool(_FRAME.match(line) or _END.match(line))
    return tuple(KernelWarning(tuple(each)) for each in warnings)


def _frames(lines: Iterable[str], *, whole: bool) -> tuple[list[str], bool]:
    """The functions in the stack traces, and whether an interrupt's entry is among them.

    The functions that the interrupt interrupted are left out, unless ``whole``.
    """
    frames: list[str] = []
    interrupted = below = False
    for line in lines:
        symbol = _SYMBOL.search(line) if _FRAME.match(line) else None
        if symbol is None:
            below = False
        elif _INTERRUPT.match(symbol[1]):
            interrupted = below = not whole
        elif not below:
            frames.append(symbol[1])
    return frames, interrupted


def _is_of_task(line: str, task: str) -> bool:
    """Whether a line has a task's name in one of the kernel's forms: Comm: NAME, task NAME/PID, [NAME:PID]."""
    name = re.escape(task)
    return bool(re.search(rf"Comm: {name}(?: |$)|(?:^|[ \[]){name}[/:]\d+", line))
