# SPDX-License-Identifier: GPL-2.0-only
"""What a results log of planted faults proves: a pure function of the log, the catalogue and the clauses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from faults.fault import CONTROL, MAINLINE, Fault
from helpers.identity import SubjectId
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, NOT_APPLICABLE, Log, Result


@dataclass(frozen=True)
class Row:
    """One fault in one dialect: the failed tests by clause, those that name none of the fault's, and what went wrong.

    ``seen`` maps each clause of the fault to the names of the tests of it that failed.
    """

    fault: Fault
    dialect: str
    seen: Mapping[str, tuple[str, ...]]
    beside: tuple[str, ...]
    run: int
    trouble: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the fault is called where both dialects are."""
        return self.fault.id if self.dialect == MAINLINE else f"{self.fault.id} ({self.dialect})"

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests of the fault's clauses that failed."""
        return tuple(sorted({test for tests in self.seen.values() for test in tests}))

    @property
    def unseen(self) -> tuple[str, ...]:
        """The clauses that the fault breaks, and of which no test failed."""
        return tuple(clause for clause, tests in self.seen.items() if not tests)


@dataclass(frozen=True)
class Proof:
    """All rows, the clauses that were proved, those that were not, and every reason why the proof does not hold."""

    rows: tuple[Row, ...]
    proved: frozenset[str]
    unproved: tuple[str, ...]
    unprovable: Mapping[str, str]
    blind: tuple[str, ...]
    """Tests that no fault made fail."""
    controls: tuple[str, ...]
    """What was not green although nothing was planted."""
    partial: bool

    @property
    def holds(self) -> bool:
        """Whether every fault was seen by a test of each of its clauses, every clause that can be is proved, and more.

        Nothing failed without a fault, and of a whole proof no test was blind.
        """
        unseen = any(row.unseen or row.trouble for row in self.rows)
        whole = self.partial or not (self.unproved or self.blind)
        return bool(self.rows) and not unseen and not self.controls and whole

    @property
    def line(self) -> str:
        """The last line."""
        seen = sum(not row.unseen for row in self.rows)
        total = len(self.proved) + len(self.unproved) + len(self.unprovable)
        verdict = "PROVED" if self.holds else "NOT PROVED"
        part = " (of the faults that were asked for)" if self.partial else ""
        return f"{verdict}: {len(self.proved)} of {total} clauses, {seen} of {len(self.rows)} faults seen{part}"


def prove(
    logs: Iterable[Log],
    faults: Sequence[Fault],
    clauses: Collection[str],
    unprovable: Mapping[str, str],
    *,
    partial: bool,
) -> Proof:
    """Judge LOGS, one for each dialect. PARTIAL: only some of the faults were asked for, or not all tests."""
    every = [r for log in logs for r in (*log.results, *_missing(log))]
    results = [(r.subject, r) for r in every if isinstance(r.subject, SubjectId)]
    by_subject: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for subject, result in results:
        by_subject[subject.fault, subject.dialect].append(result)
    rows = tuple(
        _row(fault, dialect, by_subject[fault.id, dialect])
        for fault in faults
        for dialect in fault.dialects
        if not partial or by_subject.get((fault.id, dialect))
    )
    proved = frozenset(clause for row in rows for clause, tests in row.seen.items() if tests)
    return Proof(
        rows,
        proved,
        tuple(clause for clause in clauses if clause not in proved and clause not in unprovable),
        {clause: why for clause, why in unprovable.items() if clause not in proved},
        _blind(results),
        tuple(f"{_test(r)}: {r.outcome}" for s, r in results if _is_control(s) and r.outcome in (FAILED, ERROR)),
        partial,
    )


def _missing(log: Log) -> list[Result]:
    """Tests that were collected and have no result: a machine that died takes them along."""
    there = {result.nodeid for result in log.results}
    return [Result(c.nodeid, c.subject, ERROR, message="not run") for c in log.collected if c.nodeid not in there]


def _row(fault: Fault, dialect: str, results: Sequence[Result]) -> Row:
    failed = [result for result in results if result.outcome == FAILED]
    seen = {clause: tuple(sorted(_test(r) for r in failed if clause in r.clauses)) for clause in fault.clauses}
    beside = sorted(_test(r) for r in failed if not set(fault.clauses) & set(r.clauses))
    trouble = sorted({f"{_test(r)}: {r.message}" for r in results if r.outcome == ERROR})
    return Row(fault, dialect, seen, tuple(beside), len(results), tuple(trouble))


def _blind(results: Iterable[tuple[SubjectId, Result]]) -> tuple[str, ...]:
    """Test functions that were run under faults of their clauses, and never failed."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for subject, result in results:
        if not _is_control(subject) or result.outcome != NOT_APPLICABLE:
            outcomes[result.nodeid.partition("[")[0]].add("control" if _is_control(subject) else result.outcome)
    return tuple(sorted(name for name, found in outcomes.items() if FAILED not in found and "control" in found))


def _is_control(subject: SubjectId) -> bool:
    return subject.fault == CONTROL


def _test(result: Result) -> str:
    """The node id without the subject, which the row names."""
    return without_subject(result.nodeid, result.subject)
