# SPDX-License-Identifier: GPL-2.0-only
"""Keeps the last programs of the running test; a passing test pays for one append to a queue per program."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from helpers.executor.program import Answer, Program
from helpers.subjects.base import KernelDied, Subject

MOST_PROGRAMS = 64
"""The longest tests send thousands; the last ones lead to the failure."""


class Sent(NamedTuple):
    """A program and its answer, None without one."""

    subject: str
    program: Program
    answer: Answer | None


class Trace:
    """The programs sent since the last ``clear``, of all subjects in one order."""

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque(maxlen=MOST_PROGRAMS)
        self.count = 0
        """The number of programs, including those that are not kept."""
        self._paused = False

    def clear(self) -> None:
        """Drops all programs: a new test begins."""
        self._sent.clear()
        self.count = 0

    def add(self, sent: Sent) -> None:
        if sent.program.traced and not self._paused:
            self._sent.append(sent)
            self.count += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Programs of the harness itself, sent inside the block, are not kept."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    @property
    def sent(self) -> tuple[Sent, ...]:
        """The kept programs, oldest first."""
        return tuple(self._sent)

    @property
    def dropped(self) -> int:
        """The number of earlier programs."""
        return self.count - len(self._sent)


class Traced:
    """A subject whose programs are kept in a trace; the methods are those of Subject."""

    def __init__(self, subject: Subject, trace: Trace) -> None:
        self._subject, self._trace = subject, trace
        self.id, self.label = subject.id, subject.id.label

    def run(self, program: Program) -> Answer:
        """Also keeps a program that ended the kernel."""
        try:
            answer = self._subject.run(program)
        except BaseException:
            self._trace.add(Sent(self.label, program, None))
            raise
        self._trace.add(Sent(self.label, program, answer))
        return answer

    @property
    def generation(self) -> int:
        return self._subject.generation

    @generation.setter
    def generation(self, value: int) -> None:
        self._subject.generation = value

    @property
    def ends(self) -> int:
        return self._subject.ends

    def launch(self) -> None:
        self._subject.launch()

    def start(self) -> None:
        self._subject.start()

    def use_processors(self, *, every: bool) -> bool:
        return self._subject.use_processors(every=every)

    def begin_test(self, seconds: float | None) -> float:
        return self._subject.begin_test(seconds)

    def begin_teardown(self, seconds: float) -> None:
        self._subject.begin_teardown(seconds)

    @property
    def alive(self) -> bool:
        return self._subject.alive

    def describe(self) -> dict[str, str]:
        return self._subject.describe()

    def untold(self) -> KernelDied | None:
        return self._subject.untold()

    def close(self) -> None:
        self._subject.close()
