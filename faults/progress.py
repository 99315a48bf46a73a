# SPDX-License-Identifier: GPL-2.0-only
"""The progress of a session with planted faults, from its results log while pytest writes it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.catalogue import FAULTS
from helpers.errors import HarnessError
from helpers.identity import SubjectId
from helpers.results.log import LogFollower
from helpers.results.records import FAILED, Case, Collected, Result

_CLAUSES = {fault.id: frozenset(fault.clauses) for fault in FAULTS}
_FEWEST = 5
"""Number of planted faults before which there is no estimate."""


class ProofProgress:
    """Counts faults and tests. ``clock`` returns seconds."""

    def __init__(self, log: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = LogFollower(log)
        self._clock = clock
        self._began: float | None = None
        self._tests: dict[str, str] = {}
        self._done: set[str] = set()
        self._planted: set[str] = set()
        self._broken: dict[str, set[str]] = defaultdict(set)
        self._seconds: dict[bool, float] = {True: 0.0, False: 0.0}

    def line(self, seconds: float) -> str:
        """The progress after ``seconds``: faults planted and detected, tests, times. Reads the log."""
        try:
            for record in self._log.records():
                self._add(record)
        except HarnessError as error:
            # The proof reads the log again and reports this. Only the progress is lost.
            return f"{_duration(seconds)}; {error}"
        if not self._tests:
            return f"collecting tests, {_duration(seconds)}"
        parts = [f"tests {100 * len(self._done) // len(self._tests)}%", _duration(seconds)]
        faults = self._faults()
        if faults:
            parts.insert(0, f"{len(self._planted)} of {len(faults)} faults planted, {self._detected()} detected")
        left = self.seconds_left()
        return "; ".join(parts) + (f", about {_duration(left)} left" if left is not None else "")

    def seconds_left(self) -> float | None:
        """The estimate; None if there are too few results.

        Controls and variants run many tests each, and nearly all of them. A fault runs a few tests until it is
        detected. So the estimate counts tests of the former and faults of the latter.
        """
        faults = self._faults()
        others = {test for test, fault in self._tests.items() if fault not in _CLAUSES}
        done = others & self._done
        spent = sum(self._seconds.values())
        if self._began is None or not spent or len(self._planted) < min(_FEWEST, len(faults)) or (others and not done):
            return None
        left = (len(faults) - len(self._planted)) * self._seconds[True] / max(len(self._planted), 1)
        left += (len(others) - len(done)) * self._seconds[False] / max(len(done), 1)
        # Several workers run tests at the same time.
        return left * (self._clock() - self._began) / spent

    def _add(self, record: Any) -> None:
        if isinstance(record, Collected):
            cases = [Case(*test) for test in record.tests]
            if record.reason:
                self._done.update(case.nodeid for case in cases)
            else:
                self._tests.update((case.nodeid, _fault(case)) for case in cases)
        elif isinstance(record, Case | Result):
            fault = _fault(record)
            if fault in _CLAUSES:
                self._planted.add(fault)
            if self._began is None:
                self._began = self._clock()
            if isinstance(record, Result):
                self._add_result(record, fault)

    def _add_result(self, result: Result, fault: str) -> None:
        self._done.add(result.nodeid)
        self._seconds[fault in _CLAUSES] += result.duration
        if result.outcome == FAILED:
            self._broken[fault].update(result.clauses)

    def _faults(self) -> set[str]:
        return {fault for fault in self._tests.values() if fault in _CLAUSES}

    def _detected(self) -> int:
        """Number of faults with a failed test of each of their clauses."""
        return sum(_CLAUSES[fault] <= self._broken[fault] for fault in self._planted)


def _fault(case: Case | Result) -> str:
    return case.subject.fault if isinstance(case.subject, SubjectId) else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
