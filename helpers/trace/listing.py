# SPDX-License-Identifier: GPL-2.0-only
"""Formats a trace like strace: fd, request, arguments and result.

vm1.vcpu0: KVM_SET_ONE_REG(0x6030000000160000 STD, 0x0) = EBUSY
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import groupby

from helpers.executor.program import Answer, Code, Op, OpResult, Program, Thread
from helpers.kvm_program import GuestRun
from helpers.trace.arguments import described, value_of
from helpers.trace.guest import run_lines
from helpers.trace.names import SYSCALLS, Roles, ioctl_name
from helpers.trace.recorder import Sent, Trace

MOST_LINES = 60
_S64 = 1 << 63


def listing(trace: Trace) -> str:
    """The last MOST_LINES calls, below a line that counts the omitted ones; "" without calls."""
    lines = _lines(trace.sent)
    shown = [_counted(line, len(list(same))) for line, same in groupby(lines)]
    left_out = [f"{trace.dropped} earlier programs were not kept"] if trace.dropped else []
    if len(shown) > MOST_LINES:
        left_out.append(f"{len(shown) - MOST_LINES} earlier lines are left out")
    head = [f"({'; '.join(left_out)})"] if left_out else []
    return "\n".join([*head, *shown[-MOST_LINES:]])


def _counted(line: str, times: int) -> str:
    return line if times == 1 else f"{line}   ({times} times)"


def _lines(sent: Iterable[Sent]) -> list[str]:
    lines: list[str] = []
    roles: dict[str, Roles] = {}
    several = len({each.subject for each in sent}) > 1
    for each in sent:
        calls = _Writer(each, roles.setdefault(each.subject, Roles())).lines()
        lines += [f"[{each.subject}] {line}" for line in calls] if several else calls
    return lines


class _Writer:
    def __init__(self, sent: Sent, roles: Roles) -> None:
        self._program: Program = sent.program
        self._answer: Answer | None = sent.answer
        self._roles = roles

    def lines(self) -> list[str]:
        """The program's calls in their order."""
        lines: list[str] = []
        for stage in self._program.stages:
            threads = [thread for thread in stage if thread.ops]
            for number, thread in enumerate(threads, 1):
                if len(threads) > 1:
                    often = f", {thread.repeat} times" if thread.repeat > 1 else ""
                    lines.append(f"thread {number} of {len(threads)}, beside the others{often}:")
                lines += self._forked(thread) if thread.forked else self._thread(thread)
        if self._answer is None:
            lines.append("... no answer")
        elif self._answer.expired:
            lines.append("... until the deadline passed")
        return lines

    def _forked(self, thread: Thread) -> list[str]:
        """The fds that the child opens and closes are its own."""
        before, self._roles = self._roles, deepcopy(self._roles)
        lines = ["in a forked child:", *self._thread(thread), "in the parent again:"]
        self._roles = before
        return lines

    def _thread(self, thread: Thread) -> Iterator[str]:
        for index, op in thread.ops:
            formatter = _FORMATTERS.get(op.code)
            if formatter is not None:
                results = self._answer.results[index] if self._answer is not None else ()
                yield from formatter(self, op, results, self._program.descriptions.get(index))

    def _value(self, op: Op, number: int) -> int:
        return value_of(op.given[number], self._answer)

    # --- what each operation is ---------------------------------------------------

    def _open(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        path = op.data.rstrip(b"\0").decode("utf-8", "replace")
        yield f"open({path!r}, {self._value(op, 0):#o}){_outcome(results, 'fd ')}"
        for result in results[-1:]:
            if not result.errno:
                self._roles.opened(result.ret, path)

    def _close(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        fd = self._value(op, 0)
        yield f"close({self._roles[fd]}){_outcome(results)}"
        self._roles.closed(fd)

    def _ioctl(self, op: Op, results: tuple[OpResult, ...], description: object) -> Iterator[str]:
        fd, request = self._value(op, 0), self._value(op, 1)
        target = self._roles[fd]
        arguments = described(description, request, op.given[2], self._answer)
        succeeded = bool(results) and results[-1].ran and not results[-1].errno
        role = self._roles.answered(fd, request, results[-1].ret, self._value(op, 2)) if succeeded else ""
        # A vCPU whose KVM_CREATE_VCPU is not in the trace is recognised by its ioctls.
        target = self._roles[fd] if target.startswith("fd ") else target
        outcome = _outcome(results, "fd " if role else "")
        yield f"{target}: {ioctl_name(request)}({arguments}){outcome}{f' ({role})' if role else ''}"
        if succeeded and self._answer is not None and isinstance(description, GuestRun):
            yield from run_lines(description, self._answer)

    def _mmap(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        fd = self._value(op, 4)
        what = "memory" if fd >= _S64 or fd < 0 else f"struct kvm_run of {self._roles[fd]}"
        yield f"mmap({what}, {self._value(op, 1):#x} bytes){_outcome(results, hexadecimal=True)}"

    def _munmap(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        yield f"munmap({self._value(op, 0):#x}, {self._value(op, 1):#x} bytes){_outcome(results)}"

    def _read(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        yield f"read({self._roles[self._value(op, 0)]}, {self._value(op, 1)} bytes){_outcome(results)}"

    def _write(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        yield f"write({self._roles[self._value(op, 0)]}, {len(op.data)} bytes){_outcome(results)}"

    def _syscall(self, op: Op, results: tuple[OpResult, ...], _: object) -> Iterator[str]:
        number = self._value(op, 0)
        yield f"{SYSCALLS.get(number, f'syscall {number}')}(){_outcome(results)}"


_FORMATTERS = {
    Code.OPEN: _Writer._open,
    Code.CLOSE: _Writer._close,
    Code.IOCTL: _Writer._ioctl,
    Code.IOCTL_AGAIN: _Writer._ioctl,
    Code.IOCTL_PEEK: _Writer._ioctl,
    Code.ONE_REG: _Writer._ioctl,
    Code.MMAP: _Writer._mmap,
    Code.MUNMAP: _Writer._munmap,
    Code.READ: _Writer._read,
    Code.WRITE: _Writer._write,
    Code.SYSCALL: _Writer._syscall,
}


def _outcome(results: tuple[OpResult, ...], prefix: str = "", *, hexadecimal: bool = False) -> str:
    """The value or the errno's name; with counts if the operation was repeated."""
    if not results:
        return ""
    kinds = Counter(_one(result, prefix, hexadecimal) for result in results)
    if len(results) == 1:
        return f" = {next(iter(kinds))}"
    return " = " + ", ".join(f"{kind} ({times} times)" for kind, times in kinds.most_common())


def _one(result: OpResult, prefix: str, hexadecimal: bool) -> str:
    if not result.ran:
        return "not reached"
    if result.errno:
        return result.error
    return f"{prefix}{result.ret:#x}" if hexadecimal else f"{prefix}{result.ret}"
