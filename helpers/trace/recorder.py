# SPDX-License-Identifier: GPL-2.0-only
"""Keeps the last programs of the test in flight; a test that passes pays for one append to a queue each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from helpers.executor.program import Answer, Program
from helpers.subjects.base import KernelDied, Subject

MOST_PROGRAMS = 64
"""What is kept. The longest tests send thousands; the last ones lead to their failure."""


class Sent(NamedTuple):
    """A program and what came back; None where nothing did."""

    subject: str
    program: Program
    answer: Answer | None


class Trace:
    """The programs sent since the last ``clear``, of all subjects in one order."""

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque(maxlen=MOST_PROGRAMS)
        self._count = 0
        self._paused = False

    def clear(self) -> None:
        """A new test begins."""
        self._sent.clear()
        self._count = 0

    def add(self, sent: Sent) -> None:
        """One more program."""
        if not self._paused:
            self._sent.append(sent)
            self._count += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What the harness asks for itself inside the block is not the test's."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    @property
    def sent(self) -> tuple[Sent, ...]:
        """What is kept, the oldest first."""
        return tuple(self._sent)

    @property
    def dropped(self) -> int:
        """How many programs came before those."""
        return self._count - len(self._sent)


class Traced:
    """A subject whose programs are kept in a trace."""

    def __init__(self, subject: Subject, trace: Trace) -> None:
        self._subject, self._trace = subject, trace
        self.id, self.label = subject.id, subject.id.label

    def run(self, program: Program) -> Answer:
        """As the subject does it; a program that ended the kernel is kept too."""
        try:
            answer = self._subject.run(program)
        except BaseException:
            self._trace.add(Sent(self.label, program, None))
            raise
        self._trace.add(Sent(self.label, program, answer))
        return answer

    @property
    def generation(self) -> int:
        """Counts starts."""
        return self._subject.generation

    @generation.setter
    def generation(self, value: int) -> None:
        self._subject.generation = value

    def launch(self) -> None:
        """Begins to start it."""
        self._subject.launch()

    def start(self) -> None:
        """Makes it answer."""
        self._subject.start()

    def begin_test(self, seconds: float) -> None:
        """A test begins."""
        self._subject.begin_test(seconds)

    def begin_teardown(self, seconds: float) -> None:
        """The test is over."""
        self._subject.begin_teardown(seconds)

    @property
    def alive(self) -> bool:
        """Whether it is started."""
        return self._subject.alive

    def describe(self) -> dict[str, str]:
        """What is known of it."""
        return self._subject.describe()

    def untold(self) -> KernelDied | None:
        """The last death, once."""
        return self._subject.untold()

    def close(self) -> None:
        """Ends it."""
        self._subject.close()
