# SPDX-License-Identifier: GPL-2.0-only
"""A subject whose executor is at the other end of a stream. After a death, the next program restarts the subject."""

from __future__ import annotations

import struct
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
from helpers.subjects.files import require_files
from helpers.subjects.stream import Stream
from helpers.subjects.turns import NoTurns, Turns
from helpers.uapi import syscalls

MOST_LOST_SECONDS = 600.0
"""The subject is given up after this total time, in seconds, of expired timeouts and restarts."""
MOST_FAILED_STARTS = 2
_MORE_FILES = "Raise the limit of its user there (USER - nofile {files} in /etc/security/limits.conf), and run again"
DEFAULT_SECONDS = 20.0
"""Default timeout, in seconds, of a test, and of a program outside of tests."""
BOOTS = 10
"""The default timeout is at least this multiple of the boot time. Debug options slow down boot and tests alike."""
_SLEEP_NS = 1_000_000
EXECUTOR_SHARE = 0.75
"""After this share of the remaining time, the executor interrupts a call, so that no reboot is needed."""

Waiting = Callable[[str], AbstractContextManager[None]]
"""A context manager that shows a line and the elapsed time while the block runs."""


@dataclass(frozen=True)
class MachineEnd:
    """How a subject ended, and whether its kernel is the cause."""

    how: str
    by_kernel: bool
    cure: str = "Run again"


class _Stalled(Exception):
    """A start printed nothing for too long."""


class TimeLimit:
    """The time that is left for the programs of a test. Before the first test, each program has the default timeout."""

    def __init__(self, label: str) -> None:
        self.seconds = DEFAULT_SECONDS
        self.slowness = 1.0
        """The factor for all timeouts that the user did not choose."""
        self._label, self._until, self._by_default = label, 0.0, True

    def begin(self, seconds: float | None) -> float:
        """Begins a test with a timeout of ``seconds``, or the default. Returns the timeout."""
        self._by_default = seconds is None
        self.seconds = DEFAULT_SECONDS * self.slowness if seconds is None else seconds
        self._until = time.monotonic() + self.seconds
        return self.seconds

    def adapt(self, boot: float) -> None:
        """Adapts the default to a boot of ``boot`` seconds, also for a test that has begun."""
        self.slowness = max(1.0, BOOTS * boot / DEFAULT_SECONDS)
        if self._by_default:
            self.add(DEFAULT_SECONDS * self.slowness - self.seconds)
            self.seconds = DEFAULT_SECONDS * self.slowness

    def extend(self, seconds: float) -> None:
        """Extends the limit to at least ``seconds`` from now, and to more if the subject is slow."""
        self._until = max(self._until, time.monotonic() + seconds * self.slowness)

    def add(self, seconds: float) -> None:
        """Adds ``seconds`` if a test runs: a start does not count against its timeout."""
        if self._until:
            self._until += seconds

    def left(self) -> float:
        """The seconds that are left. Raises HarnessError if no time is left."""
        left = self._until - time.monotonic() if self._until else self.seconds
        if left <= 0:
            what = f"The test took longer than {self.seconds:.0f} s while {self._label} went on answering"
            raise HarnessError(what, cure="On a slow machine, give more with --test-deadline")
        return left


class Machine(Protocol):
    """The machine that runs the kernel under test."""

    id: SubjectId

    @property
    def start_seconds(self) -> float:
        """Timeout of a start."""

    @property
    def stall_seconds(self) -> float:
        """Seconds without output after which a start has stalled."""

    def launch(self) -> Stream:
        """Begins a start, without waiting for it. Raises HarnessError."""

    def start_failure(self, reason: str | None) -> HarnessError:
        """The error for a failed start; ``reason`` is None if the stream ended."""

    def boot_seconds(self, waited: float) -> float:
        """The duration of the boot, at most the ``waited`` seconds since the launch; 0 if no kernel was booted."""

    def keep_snapshot(self) -> None:
        """Called after the first answer: the next start may continue from here."""

    def discard_snapshot(self) -> bool:
        """Called after a failed start. Whether a snapshot was discarded, so that another start may succeed."""

    def use_processors(self, *, every: bool) -> bool:
        """Whether the next start has another number of processors than this one. It has one, or ``every`` one."""

    def end(self, answered_nothing_for: float | None) -> MachineEnd:
        """How it ended. ``answered_nothing_for`` is None if the stream ended, else the seconds without an answer."""

    def console_size(self) -> int:
        """Bytes printed since the start."""

    def console(self, since: int) -> str:
        """The text after the first ``since`` bytes, of bounded size and without control characters."""

    def describe(self) -> dict[str, str]:
        """Facts about the machine."""

    def close(self) -> None:
        """Ends it. May be called at any time, and repeatedly."""


class Remote:
    """The subject on a machine."""

    def __init__(self, machine: Machine, waiting: Waiting, turns: Turns | None = None) -> None:
        self.id, self.label = machine.id, machine.id.label
        self._turns = turns or NoTurns()
        self.generation = self.ends = 0
        self._machine, self._waiting = machine, waiting
        self._stream: Stream | None = None
        self._started = False
        self._launched_at = 0.0
        self._start_took = 0.0
        self._ahead = False
        self._serial = 0
        self._limit = TimeLimit(self.label)
        self._mark = 0
        self._failed_starts = 0
        self._lost_seconds = 0.0
        self._size_at_answer = 0
        self._untold: KernelDied | None = None

    def launch(self) -> None:
        if self._stream is not None:
            return
        self._check_given_up()
        self.generation += 1
        self._launched_at = time.monotonic()
        try:
            self._stream = self._machine.launch()
        except HarnessError:
            self._failed_starts += 1
            self.close()
            raise

    def _check_given_up(self) -> None:
        for reached, why in (
            (self._failed_starts >= MOST_FAILED_STARTS, f"it failed to start {self._failed_starts} times in a row"),
            (
                self._lost_seconds > MOST_LOST_SECONDS * self._limit.slowness,
                f"its deaths and restarts took {self._lost_seconds:.0f} s",
            ),
        ):
            if reached:
                cure = "Look at the first failure with this kernel"
                raise GivenUp(f"{self.label} is given up", why=why, cure=cure)

    def start(self) -> None:
        if self._started:
            return
        began = time.monotonic()
        self.launch()
        try:
            with self._waiting(f"booting {self.label}"):
                self._wait_or_boot()
                self._machine.keep_snapshot()
        except BaseException:
            self._failed_starts += 1
            self.close()
            raise
        now = time.monotonic()
        self._started, self._failed_starts = True, 0
        self._start_took = now - self._launched_at
        self._ahead = began - self._launched_at > 1
        self._lost_seconds += self._start_took if self.generation > 1 else 0
        self._mark = self._size_at_answer = self._machine.console_size()
        self._limit.add(now - began)
        self._limit.adapt(self._machine.boot_seconds(self._start_took))

    def _wait_or_boot(self) -> None:
        """Boots if the start from a snapshot fails."""
        try:
            self._wait_for_executor()
        except HarnessError:
            if not self._machine.discard_snapshot():
                raise
            self.close()
            self.launch()
            self._wait_for_executor()

    def _wait_for_executor(self) -> None:
        """Sends a program that sleeps for a millisecond, and waits for its answer.

        On a machine whose timers are lost, such as one from an unusable snapshot, the sleep does not end.
        """
        assert self._stream is not None
        # The timeout begins now, because the subject may have been launched long ago.
        deadline = time.monotonic() + self._machine.start_seconds
        try:
            self._serial += 1
            program = Program(traced=False)
            length = program.scratch_bytes(struct.pack("<qq", 0, _SLEEP_NS))
            program.syscall(syscalls.CLOCK_NANOSLEEP, time.CLOCK_MONOTONIC, 0, length)
            self._stream.send(wire.encode(program, serial=self._serial), deadline)
            wire.decode(program, self._first_answer(self._stream, deadline), serial=self._serial)
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
        self._started = False
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._machine.close()

    @property
    def alive(self) -> bool:
        return self._started

    def describe(self) -> dict[str, str]:
        """Facts about the machine, and the time from its launch to the first answer."""
        boot = f"{'at most ' if self._ahead else ''}{self._start_took:.1f} s"
        return {"boot": boot, **self._machine.describe()}

    def untold(self) -> KernelDied | None:
        died, self._untold = self._untold, None
        return died

    def use_processors(self, *, every: bool) -> bool:
        changes = self._machine.use_processors(every=every)
        if changes:
            self.close()
        return changes

    def begin_test(self, seconds: float | None) -> float:
        self._mark = self._begin_of_last_words()
        return self._limit.begin(seconds)

    def begin_teardown(self, seconds: float) -> None:
        self._limit.extend(seconds)

    def _begin_of_last_words(self) -> int:
        if self._stream is None or not self._started:
            return 0
        # If the kernel died after its last answer, it printed the cause before this test.
        return self._size_at_answer if self._stream.ended else self._machine.console_size()

    def run(self, program: Program) -> Answer:
        """Sends a program and returns its answer.

        Raises KernelDied if the kernel ended or stopped answering, HarnessError for any other failure. Both close the
        subject, and the next program starts it again. The subject stays open only if the program ran out of files.
        """
        answer = self._answer(program)
        require_files(program, answer, self._answer, self.label, _MORE_FILES)
        return answer

    def _answer(self, program: Program) -> Answer:
        self.start()
        with self._turns.turn(alone=program.alone) as waited:
            self._limit.add(waited)
            return self._answer_now(program)

    def _answer_now(self, program: Program) -> Answer:
        left = self._limit.left()
        try:
            return self._exchange(program, left)
        except TimeoutError:
            raise self._ended(left) from None
        except (OSError, EOFError):
            raise self._ended(None) from None
        except BaseException as error:
            # After an invalid answer, or one that Ctrl-C or a plugin's timeout interrupted, the stream is undefined.
            self.ends += isinstance(error, HarnessError)
            self.close()
            raise

    def _exchange(self, program: Program, seconds: float) -> Answer:
        assert self._stream is not None
        until = time.monotonic() + seconds
        self._serial += 1
        within = max(1, int(seconds * EXECUTOR_SHARE * 1000))
        request = wire.encode(program, serial=self._serial, deadline_ms=within, slowness=self._limit.slowness)
        self._stream.send(request, until)
        answer = wire.decode(program, self._stream.receive(until), serial=self._serial)
        self._size_at_answer = self._machine.console_size()
        return answer

    def _ended(self, silent_for: float | None) -> Exception:
        end = self._machine.end(silent_for)
        words = self._machine.console(self._mark) or "(nothing was printed)"
        self.ends += 1
        self._lost_seconds += silent_for or 0
        self.close()
        # If little time was left for the program, a missing answer does not prove that the kernel is dead.
        short = silent_for is not None and silent_for < self._limit.seconds / 2
        if end.by_kernel and not short:
            self._untold = KernelDied(self.label, end.how, words)
            return self._untold
        cure = f"{end.cure}.\nThe kernel's console since this test began:\n{words}"
        return HarnessError(f"{self.label} was lost", why=end.how, cure=cure)
