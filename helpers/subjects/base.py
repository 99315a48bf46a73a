# SPDX-License-Identifier: GPL-2.0-only
"""A subject: the kernel under test plus the way to reach it."""

from __future__ import annotations

from typing import Protocol

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Program
from helpers.identity import SubjectId


class Subject(Protocol):
    """Something that runs programs on the kernel under test."""

    id: SubjectId
    label: str
    """The id's, for people."""
    generation: int
    """Counts starts: what a program opened is gone when this has changed."""

    def launch(self) -> None:
        """Begins to start the subject without waiting for it; ``start`` waits."""

    def start(self) -> None:
        """Makes the subject answer. Raises HarnessError when it cannot be made to."""

    def begin_test(self, seconds: float) -> None:
        """A test begins: its programs have so long in all, and its last words begin here."""

    def begin_teardown(self, seconds: float) -> None:
        """The test is over; what cleans up after it has at least so long."""

    def run(self, program: Program) -> Answer:
        """Runs one program. Raises KernelDied, or HarnessError when the way to it broke."""

    @property
    def alive(self) -> bool:
        """Whether it is started."""

    def describe(self) -> dict[str, str]:
        """What is known of the subject without asking its kernel."""

    def untold(self) -> KernelDied | None:
        """The last death, once: whoever caught it may have kept it to himself."""

    def close(self) -> None:
        """Ends it, and every process that belongs to it."""


class KernelDied(Exception):
    """The kernel under test stopped answering. The test in flight is the one that killed it."""

    def __init__(self, subject: str, how: str, last_words: str) -> None:
        super().__init__(subject, how, last_words)
        self.subject, self.how, self.last_words = subject, how, last_words

    def __str__(self) -> str:
        # Summaries show the first line.
        return f"The kernel of {self.subject} died: {self.how}.\nIts console since this test began:\n{self.last_words}"


class GivenUp(HarnessError):
    """The subject ended so often that it is not started again."""
