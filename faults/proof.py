# SPDX-License-Identifier: GPL-2.0-only
"""What a results log of planted faults proves: a pure function of the log, the catalogue and the clauses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from faults.fault import CONTROL, DETECTED, MAINLINE, Fault
from faults.trial import Trial, trials
from faults.variants import BenignVariant
from helpers.identity import SubjectId
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, NOT_APPLICABLE, NOT_MEASURED, Log, Result


@dataclass(frozen=True)
class Row:
    """One fault in one dialect.

    ``seen`` maps each clause of the fault to its failed tests. ``beside`` are the failed tests of other clauses, and
    ``trouble`` the errors.
    """

    fault: Fault
    dialect: str
    seen: Mapping[str, tuple[str, ...]]
    beside: tuple[str, ...]
    run: int
    trouble: tuple[str, ...]
    unmeasured: tuple[str, ...]
    """The tests of the fault's clauses that were not measured, with the reason. They do not detect the fault."""

    @property
    def name(self) -> str:
        """The fault's id, with the dialect unless that is mainline."""
        return self.fault.id if self.dialect == MAINLINE else f"{self.fault.id} ({self.dialect})"

    @property
    def tests(self) -> tuple[str, ...]:
        """The failed tests of the fault's clauses."""
        return tuple(sorted({test for tests in self.seen.values() for test in tests}))

    @property
    def unseen(self) -> tuple[str, ...]:
        """The fault's clauses without a failed test."""
        return tuple(clause for clause, tests in self.seen.items() if not tests)


@dataclass(frozen=True)
class Proof:
    """All rows, and every reason why the proof does not hold."""

    rows: tuple[Row, ...]
    proved: frozenset[str]
    unproved: tuple[str, ...]
    unprovable: Mapping[str, str]
    blind: tuple[str, ...]
    """Tests that no fault made fail."""
    controls: tuple[str, ...]
    """Tests that did not pass without a fault."""
    unmeasured: tuple[str, ...]
    """Tests that were not measured without a fault, with the reason. The proof may hold despite them."""
    trials: tuple[Trial, ...]
    partial: bool

    @property
    def holds(self) -> bool:
        """Whether every fault is detected by a test of each of its clauses, and no test fails without a fault.

        Every variant must also be accepted. A complete proof also needs every provable clause proved, and no test in
        ``blind``.
        """
        unseen = any(row.unseen or row.trouble for row in self.rows)
        whole = self.partial or not (self.unproved or self.blind)
        accepted = all(trial.accepted for trial in self.trials)
        return bool(self.rows or self.trials) and not unseen and not self.controls and accepted and whole

    @property
    def line(self) -> str:
        """The last line of output."""
        seen = sum(not row.unseen for row in self.rows)
        total = len(self.proved) + len(self.unproved) + len(self.unprovable)
        verdict = "PROVED" if self.holds else "NOT PROVED"
        counts = [
            f"{len(self.proved)} of {total} clauses",
            f"{seen} of {len(self.rows)} faults noticed",
            f"{sum(trial.accepted for trial in self.trials)} of {len(self.trials)} variants accepted",
        ]
        part = " (of the selected faults and variants)" if self.partial else ""
        return f"{verdict}: {', '.join(counts)}{part}"


def prove(
    logs: Sequence[Log],
    faults: Sequence[Fault],
    clauses: Collection[str],
    unprovable: Mapping[str, str],
    *,
    partial: bool,
    variants: Sequence[BenignVariant] = (),
    met: Mapping[str, int] | None = None,
) -> Proof:
    """Judge ``logs``, one for each dialect. ``partial``: some faults, variants or tests were not selected.

    ``met`` maps a variant's id to the number of calls that met it.
    """
    benign = {variant.id for variant in variants}
    every = [r for log in logs for r in (*log.results, *tests_without_result(log))]
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
        _blind([(s, r) for s, r in results if s.fault not in benign]),
        tuple(f"{_test(r)}: {r.outcome}" for s, r in results if _is_control(s) and r.outcome in (FAILED, ERROR)),
        _with_reasons(r for s, r in results if _is_control(s) and r.outcome == NOT_MEASURED),
        trials(logs, variants, met or {}),
        partial,
    )


def tests_without_result(log: Log) -> list[Result]:
    """An error for each collected test without a result, for example after the machine died.

    Tests that a detected fault did not need are not missing.
    """
    present = {result.nodeid for result in log.results}
    present |= {case.nodeid for case, reason in log.not_run if reason == DETECTED}
    return [Result(c.nodeid, c.subject, ERROR, message="not run") for c in log.collected if c.nodeid not in present]


def _row(fault: Fault, dialect: str, results: Sequence[Result]) -> Row:
    failed = [result for result in results if result.outcome == FAILED]
    seen = {clause: tuple(sorted(_test(r) for r in failed if clause in r.clauses)) for clause in fault.clauses}
    beside = sorted(_test(r) for r in failed if not set(fault.clauses) & set(r.clauses))
    trouble = _with_reasons(r for r in results if r.outcome == ERROR)
    concerned = (r for r in results if r.outcome == NOT_MEASURED and set(fault.clauses) & set(r.clauses))
    return Row(fault, dialect, seen, tuple(beside), len(results), trouble, _with_reasons(concerned))


def _with_reasons(results: Iterable[Result]) -> tuple[str, ...]:
    return tuple(sorted({f"{_test(result)}: {result.message}" for result in results}))


def _blind(results: Iterable[tuple[SubjectId, Result]]) -> tuple[str, ...]:
    """Test functions that ran under faults of their clauses and never failed."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for subject, result in results:
        if not _is_control(subject) or result.outcome != NOT_APPLICABLE:
            outcomes[result.nodeid.partition("[")[0]].add("control" if _is_control(subject) else result.outcome)
    return tuple(sorted(name for name, each in outcomes.items() if FAILED not in each and "control" in each))


def _is_control(subject: SubjectId) -> bool:
    return subject.fault == CONTROL


def _test(result: Result) -> str:
    """The node id without the subject."""
    return without_subject(result.nodeid, result.subject)
