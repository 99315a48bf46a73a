# SPDX-License-Identifier: GPL-2.0-only
"""Detects a program that reached the limit of open files, which gives no result about the kernel."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, ArgType, Code, Op, Program
from helpers.uapi import kvm as uapi

_CREATING = frozenset((uapi.KVM_CREATE_VM, uapi.KVM_CREATE_VCPU, uapi.KVM_CREATE_DEVICE))
_LIMITS = "/proc/self/limits"
_HARD_LIMIT = re.compile(rb"^Max open files +\d+ +(\d+)", re.MULTILINE)


def require_files(program: Program, answer: Answer, run: Callable[[Program], Answer], label: str, cure: str) -> None:
    """Raises HarnessError if a call of ``program`` that creates a file descriptor failed with EMFILE.

    ``run`` runs another program, which closes the descriptors that ``program`` left open and reads the limit. ``cure``
    contains "{files}" for a sufficient limit.
    """
    if not any(each.errno == errno.EMFILE for op, index in _creating(program) for each in answer.results[index]):
        return
    limit = _hard_limit(_left_open(program, answer).elements(), run)
    count = sum(1 for _ in _creating(program))
    enough = 1 << ((limit or 0) + count).bit_length()
    raise HarnessError(
        f"{label} ran out of file descriptors",
        why=f"a program of this test creates {count}, and the hard limit of open files is {limit or 'unknown'}",
        cure=cure.format(files=enough),
    )


def _operations(program: Program) -> Iterator[tuple[Op, int]]:
    """Each operation with its number, without those of forked children, whose descriptors end with the child."""
    threads = (thread for stage in program.stages for thread in stage if not thread.forked)
    for index, op in (each for thread in threads for each in thread.ops):
        yield op, index


def _creating(program: Program) -> Iterator[tuple[Op, int]]:
    """The operations that return a new file descriptor."""
    for op, index in _operations(program):
        if op.code == Code.OPEN or (op.code == Code.IOCTL and op.given[1] in _CREATING):
            yield op, index


def _left_open(program: Program, answer: Answer) -> Counter[int]:
    """The descriptors that the program created and did not close."""
    opened: Counter[int] = Counter()
    for op, index in _creating(program):
        # KVM_CREATE_DEVICE returns its descriptor in memory.
        if op.code == Code.OPEN or op.given[1] != uapi.KVM_CREATE_DEVICE:
            opened.update(each.ret for each in answer.results[index] if each.ran and not each.errno)
    for op, index in _operations(program):
        if op.code == Code.CLOSE:
            done = [turn for turn, each in enumerate(answer.results[index]) if each.ran and not each.errno]
            opened -= Counter(_value(op.args[0], turn, answer) for turn in done)
    return opened


def _value(arg: Arg, turn: int, answer: Answer) -> int:
    """An argument's value in repetition ``turn``. A result is taken from the same repetition, or from the last one."""
    if arg.type is not ArgType.RESULT:
        return arg.value
    results = answer.results[arg.index]
    return results[min(turn, len(results) - 1)].ret + arg.value


def _hard_limit(left_open: Iterable[int], run: Callable[[Program], Answer]) -> int | None:
    """Closes ``left_open``, and reads the executor's hard limit; None if it cannot be read."""
    program = Program()
    for fd in left_open:
        program.close(fd)
    file = program.open(_LIMITS, os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(file, 4096)
    program.close(file)
    limit = _HARD_LIMIT.search(run(program)[text].data)
    return int(limit[1]) if limit else None
