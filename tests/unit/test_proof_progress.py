# SPDX-License-Identifier: GPL-2.0-only
"""The line of progress of a proof, from a log that grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from faults.catalogue import FAULTS
from faults.fault import CONTROL, DETECTED
from faults.progress import ProofProgress
from faults.variants import VARIANTS
from helpers.identity import SubjectId
from helpers.results.log import LogFollower, LogWriter
from helpers.results.records import FAILED, PASSED, VERSION, Case, Result, Session

ONE, TWO, *_ = (fault for fault in FAULTS if len(fault.clauses) > 1)
OTHERS = [fault for fault in FAULTS if fault not in (ONE, TWO)][:8]


class Clock:
    """The proof's clock; ``run`` writes results that take ten seconds, on two workers."""

    def __init__(self, log: LogWriter) -> None:
        self.now = 100.0
        self._log = log

    def run(self, fault: str, number: int, outcome: str = PASSED, *clauses: str) -> None:
        self._log.start(case(fault, number))
        self._log.result(Result(case(fault, number).nodeid, case(fault).subject, outcome, clauses, duration=10))
        self.now += 5


def case(fault: str, number: int = 0) -> Case:
    return Case(f"suites/a/test_a.py::test_a[{fault}-{number}]", SubjectId("debian:stable", fault=fault))


@pytest.fixture
def proof(tmp_path: Path) -> tuple[LogWriter, Clock, Callable[[], str]]:
    log = LogWriter(tmp_path / "results.jsonl")
    clock = Clock(log)
    progress = ProofProgress(tmp_path / "results.jsonl", lambda: clock.now)
    return log, clock, lambda: progress.line(clock.now - 100)


def test_faults_planted_and_detected(proof: tuple[LogWriter, Clock, Callable[[], str]]) -> None:
    log, clock, line = proof
    assert line() == "collecting tests, 0 s"
    log.session(Session(VERSION, (), (), 0.0))
    log.collected([case(ONE.id, n) for n in range(3)] + [case(TWO.id)] + [case(CONTROL, n) for n in range(4)])
    assert line() == "0 of 2 faults planted, 0 detected; tests 0%; 0 s"
    clock.run(CONTROL, 0, FAILED, *ONE.clauses)
    clock.run(ONE.id, 0, FAILED, *ONE.clauses[:1])
    assert line().startswith("1 of 2 faults planted, 0 detected; tests 25%; 10 s")
    clock.run(ONE.id, 1, FAILED, *ONE.clauses[1:])
    assert line().startswith("1 of 2 faults planted, 1 detected; tests 37%; 15 s")
    log.collected([case(ONE.id, 2)], DETECTED)
    clock.run(TWO.id, 0, PASSED, *TWO.clauses)
    assert line().startswith("2 of 2 faults planted, 1 detected; tests 62%; 20 s, about ")


def test_the_estimate(proof: tuple[LogWriter, Clock, Callable[[], str]]) -> None:
    """Controls and variants by their tests, faults by their number: a fault needs few of its tests."""
    log, clock, line = proof
    log.session(Session(VERSION, (), (), 0.0))
    faults = [fault.id for fault in (ONE, TWO, *OTHERS)]
    log.collected([case(name, n) for name in (CONTROL, VARIANTS[0].id) for n in range(10)])
    log.collected([case(name, n) for name in faults for n in range(100)])
    line()
    for number in range(10):
        clock.run(CONTROL, number)
    assert line() == "0 of 10 faults planted, 0 detected; tests 0%; 50 s"
    for name in faults[:5]:
        clock.run(name, 0)
    # The time counts from the first result that is read, at 50 s: 25 s for results of 150 s.
    left = (5 * 10 + 10 * 10) * 25 / 150
    assert line() == f"5 of 10 faults planted, 0 detected; tests 1%; 75 s, about {left:.0f} s left"
    clock.now += 7200
    assert "; 121 min, about 120 min left" in line()


def test_variants_alone(proof: tuple[LogWriter, Clock, Callable[[], str]]) -> None:
    log, clock, line = proof
    log.session(Session(VERSION, (), (), 0.0))
    log.collected([case(VARIANTS[0].id, n) for n in range(2)])
    assert line() == "tests 0%; 0 s"
    clock.run(VARIANTS[0].id, 0)
    line()
    clock.now += 5
    assert line() == "tests 50%; 10 s, about 5 s left"


def test_a_damaged_log_does_not_end_the_proof(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("no record\n")
    assert "Not a record of a results log" in ProofProgress(path).line(1)


def test_an_unfinished_line_is_read_later(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "complete.jsonl")
    log.session(Session(VERSION, (), (), 0.0))
    log.start(case("a"))
    log.start(case("b"))
    text = log.path.read_text()
    growing = tmp_path / "growing.jsonl"
    follower = LogFollower(growing)
    assert follower.records() == []
    growing.write_text(text[:-10])
    assert follower.records()[1:] == [case("a")]
    growing.write_text(text)
    assert follower.records() == [case("b")]
