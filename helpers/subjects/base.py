# SPDX-License-Identifier: GPL-2.0-only
"""A subject: the kernel under test plus the way to reach it."""

from __future__ import annotations

from typing import Protocol

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Program


class Subject(Protocol):
    """Something that runs programs on the kernel under test."""

    label: str
    generation: int
    """Counts starts: what a program opened is gone when this has changed."""

    def start(self) -> None:
        """Makes the subject answer. Raises HarnessError when it cannot be made to."""

    def run(self, program: Program) -> Answer:
        """Runs one program. Raises KernelDied, or HarnessError when the way to it broke."""

    @property
    def alive(self) -> bool:
        """Whether it is started."""

    def describe(self) -> dict[str, str]:
        """What is known of the subject without asking its kernel."""

    def close(self) -> None:
        """Ends it, and every process that belongs to it."""


class KernelDied(Exception):
    """The kernel under test stopped answering. The test in flight is the one that killed it."""

    def __init__(self, subject: str, how: str, last_words: str) -> None:
        super().__init__(subject, how, last_words)
        self.subject, self.how, self.last_words = subject, how, last_words

    def __str__(self) -> str:
        return f"The kernel of {self.subject} died: {self.how}. Its console ended with:\n{self.last_words}"


def smoke(subject: Subject) -> None:
    """One empty program: answered by any executor that is alive."""
    answer = subject.run(Program())
    if answer.results:
        raise HarnessError(f"{subject.label} answered an empty program with results")
