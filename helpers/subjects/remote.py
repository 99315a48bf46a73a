# SPDX-License-Identifier: GPL-2.0-only
"""A subject whose executor is at the other end of a stream: booted, spoken to, watched, and begun afresh."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.program import Answer, Program
from helpers.identity import SubjectId
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.stream import Stream

MOST_DEATHS = 5
"""Tests in a row that may end the subject before it is given up."""
MOST_LOST_SECONDS = 600.0
"""What deaths may cost in all, in silence and new starts, before the subject is given up."""
MOST_FAILED_STARTS = 2
DEFAULT_SECONDS = 20.0
"""What programs outside of tests have."""
EXECUTOR_SHARE = 0.75
"""Of the time left, for the executor to interrupt a call by itself, which is kinder than a new boot."""

Waiting = Callable[[str], AbstractContextManager[None]]
"""Shows what is waited for, and for how long, while the block runs."""


@dataclass(frozen=True)
class MachineEnd:
    """How a subject ended; whether that is its kernel's own doing."""

    how: str
    by_kernel: bool
    cure: str = "Run again"


class _Stalled(Exception):
    """A start has stopped half-way."""


def out_of_time(label: str, seconds: float) -> HarnessError:
    """For a test that is too slow on a subject that is not."""
    what = f"The test took longer than {seconds:.0f} s while {label} went on answering"
    return HarnessError(what, cure="On a slow machine give more with --test-deadline")


class Machine(Protocol):
    """What the kernel under test runs on."""

    id: SubjectId
    start_seconds: float
    """A start may take so long in all."""
    stall_seconds: float
    """A start that has printed nothing for so long has stopped half-way."""

    def launch(self) -> Stream:
        """Begins a start, without waiting for it. Raises HarnessError."""

    def start_failure(self, reason: str | None) -> HarnessError:
        """Why it did not start; ``reason`` None when the stream ended by itself."""

    def end(self, answered_nothing_for: float | None) -> MachineEnd:
        """How it ended, after the stream did or after so many seconds without an answer."""

    def console_size(self) -> int:
        """Bytes printed since the start."""

    def console(self, since: int) -> str:
        """What was printed after the first ``since`` bytes, bounded and harmless for a terminal."""

    def describe(self) -> dict[str, str]:
        """Where it runs."""

    def close(self) -> None:
        """Ends it; may be called at any time, and twice."""


class Remote:
    """The subject on a machine."""

    def __init__(self, machine: Machine, waiting: Waiting) -> None:
        self.id, self.label = machine.id, machine.id.label
        self.generation = 0
        self._machine, self._waiting = machine, waiting
        self._stream: Stream | None = None
        self._started = False
        self._launched_at = 0.0
        self._start_took = 0.0
        self._ahead = False
        self._serial = 0
        self._until, self._allowed = 0.0, DEFAULT_SECONDS
        self._mark = 0
        self._deaths = self._failed_starts = 0
        self._died_in_test = False
        self._lost_seconds = 0.0
        self._heard_at = 0
        self._untold: KernelDied | None = None

    # --- life ---------------------------------------------------------------

    def launch(self) -> None:
        """Begins to start it without waiting. Raises GivenUp, HarnessError."""
        if self._stream is not None:
            return
        self._refuse_hopeless()
        self.generation += 1
        self._launched_at = time.monotonic()
        try:
            self._stream = self._machine.launch()
        except HarnessError:
            self._failed_starts += 1
            self.close()
            raise

    def _refuse_hopeless(self) -> None:
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise GivenUp(f"{self.label} is given up", why=f"it failed to start {self._failed_starts} times in a row")
        if self._deaths >= MOST_DEATHS:
            raise GivenUp(f"{self.label} is given up", why=f"it ended in {self._deaths} tests in a row")
        if self._lost_seconds > MOST_LOST_SECONDS:
            why = f"its deaths have cost {self._lost_seconds:.0f} s"
            raise GivenUp(f"{self.label} is given up", why=why)

    def start(self) -> None:
        """Waits until the executor answers. Raises GivenUp, HarnessError with the likely cause."""
        if self._started:
            return
        began = time.monotonic()
        self.launch()
        try:
            with self._waiting(f"booting {self.label}"):
                self._wait_for_executor()
        except BaseException:
            self._failed_starts += 1
            self.close()
            raise
        now = time.monotonic()
        self._started, self._failed_starts = True, 0
        self._start_took = now - self._launched_at
        self._ahead = began - self._launched_at > 1
        self._lost_seconds += self._start_took if self.generation > 1 else 0
        self._mark = self._heard_at = self._machine.console_size()
        if self._until:
            # A test that had to start the subject has its time nevertheless.
            self._until += now - began

    def _wait_for_executor(self) -> None:
        """One empty program, sent at once: whoever is alive answers it."""
        assert self._stream is not None
        # From now on: what was launched while another was tested has not been listened to until now.
        deadline = time.monotonic() + self._machine.start_seconds
        try:
            self._serial += 1
            self._stream.send(wire.encode(Program(), serial=self._serial), deadline)
            wire.decode(Program(), self._first_answer(self._stream, deadline), serial=self._serial)
        except TimeoutError:
            raise self._machine.start_failure(f"no answer within {self._machine.start_seconds:.0f} s") from None
        except _Stalled as stalled:
            raise self._machine.start_failure(str(stalled)) from None
        except (OSError, EOFError):
            raise self._machine.start_failure(None) from None
        except HarnessError as error:
            raise self._machine.start_failure(f"{error.what}: {error.why}") from None

    def _first_answer(self, stream: Stream, deadline: float) -> bytes:
        size, since = self._machine.console_size(), time.monotonic()
        while True:
            try:
                return stream.receive(min(deadline, time.monotonic() + 1))
            except TimeoutError:
                now = time.monotonic()
                if self._machine.console_size() != size:
                    size, since = self._machine.console_size(), now
                if now > deadline:
                    raise
                if now - since > self._machine.stall_seconds:
                    raise _Stalled(f"nothing was printed for {now - since:.0f} s, and no answer") from None

    def close(self) -> None:
        """Ends the machine."""
        self._started = False
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._machine.close()

    @property
    def alive(self) -> bool:
        """Whether it is started."""
        return self._started

    def describe(self) -> dict[str, str]:
        """Where it runs, and how long it took to answer."""
        boot = f"{'at most ' if self._ahead else ''}{self._start_took:.1f} s"
        return {**self._machine.describe(), "boot": boot}

    def untold(self) -> KernelDied | None:
        """The last death, once."""
        died, self._untold = self._untold, None
        return died

    # --- programs -----------------------------------------------------------

    def begin_test(self, seconds: float) -> None:
        """A test begins: its programs have so long in all, and its last words begin here."""
        self._deaths = self._deaths + 1 if self._died_in_test else 0
        self._died_in_test = False
        self._until, self._allowed = time.monotonic() + seconds, seconds
        self._mark = self._begin_of_last_words()

    def _begin_of_last_words(self) -> int:
        if self._stream is None or not self._started:
            return 0
        # What died since its last answer said so before this test.
        return self._heard_at if self._stream.ended else self._machine.console_size()

    def begin_teardown(self, seconds: float) -> None:
        """What cleans up after the test has at least so long."""
        self._until = max(self._until, time.monotonic() + seconds)

    def run(self, program: Program) -> Answer:
        """One round trip; starts the subject when it is not.

        Raises KernelDied when the kernel ended or went silent by itself, HarnessError for everything else
        that broke; both leave the subject closed, to be started afresh.
        """
        self.start()
        left = self._left()
        try:
            return self._exchange(program, left)
        except TimeoutError:
            raise self._ended(left) from None
        except (OSError, EOFError):
            raise self._ended(None) from None
        except BaseException:
            # After garbage, or an answer that Ctrl-C left half read, what follows on the stream can mean anything.
            self._died_in_test = True
            self.close()
            raise

    def _left(self) -> float:
        if not self._until:
            return self._allowed
        left = self._until - time.monotonic()
        if left <= 0:
            raise out_of_time(self.label, self._allowed)
        return left

    def _exchange(self, program: Program, seconds: float) -> Answer:
        assert self._stream is not None
        until = time.monotonic() + seconds
        self._serial += 1
        within = max(1, int(seconds * EXECUTOR_SHARE * 1000))
        self._stream.send(wire.encode(program, serial=self._serial, deadline_ms=within), until)
        answer = wire.decode(program, self._stream.receive(until), serial=self._serial)
        self._heard_at = self._machine.console_size()
        return answer

    def _ended(self, silent_for: float | None) -> Exception:
        end = self._machine.end(silent_for)
        words = self._machine.console(self._mark) or "(nothing was printed)"
        self._died_in_test = True
        self._lost_seconds += silent_for or 0
        self.close()
        # Little time was left: that it went unanswered says nothing about the kernel.
        hurried = silent_for is not None and silent_for < self._allowed / 2
        if end.by_kernel and not hurried:
            self._untold = KernelDied(self.label, end.how, words)
            return self._untold
        cure = f"{end.cure}.\nThe kernel's console since this test began:\n{words}"
        return HarnessError(f"{self.label} was lost", why=end.how, cure=cure)
