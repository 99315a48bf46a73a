# SPDX-License-Identifier: GPL-2.0-only
"""A subject: the kernel under test and how it is reached."""

from __future__ import annotations

from typing import Protocol

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Program
from helpers.identity import SubjectId


class Subject(Protocol):
    """Something that runs programs on the kernel under test."""

    id: SubjectId
    label: str
    """``id.label``, for display."""
    generation: int
    """Counts starts. If it changes, the descriptors of earlier programs are invalid."""

    @property
    def ends(self) -> int:
        """Counts the programs during which it ended, for any cause."""

    def launch(self) -> None:
        """Begins to start it, without waiting; ``start`` waits. Raises GivenUp, HarnessError."""

    def start(self) -> None:
        """Waits until the executor answers. Raises GivenUp, HarnessError with the likely cause."""

    def use_processors(self, *, every: bool) -> bool:
        """Ends it if its next start has another number of processors: one, or ``every`` one. Returns whether it did."""

    def begin_test(self, seconds: float | None) -> float:
        """Begins a test. Returns its timeout: ``seconds`` for all of its programs, or this subject's default.

        If the kernel dies in the test, the exception contains the console's text from here on.
        """

    def begin_teardown(self, seconds: float) -> None:
        """Begins the teardown of a test: its programs have at least ``seconds``."""

    def run(self, program: Program) -> Answer:
        """Runs one program; starts the subject if necessary. Raises KernelDied, HarnessError."""

    @property
    def alive(self) -> bool:
        """Whether it is started."""

    def describe(self) -> dict[str, str]:
        """Facts about the subject that need no program."""

    def untold(self) -> KernelDied | None:
        """Returns and clears the last death, because a test may have caught the exception."""

    def close(self) -> None:
        """Ends the subject and its processes."""


class KernelDied(Exception):
    """The kernel under test stopped answering. The current test is the cause."""

    def __init__(self, subject: str, how: str, last_words: str) -> None:
        super().__init__(subject, how, last_words)
        self.subject, self.how, self.last_words = subject, how, last_words

    def __str__(self) -> str:
        # Summaries show only the first line.
        return f"The kernel of {self.subject} died: {self.how}.\nIts console since this test began:\n{self.last_words}"


class GivenUp(HarnessError):
    """The subject ended too often and is not started again."""
