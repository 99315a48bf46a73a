# SPDX-License-Identifier: GPL-2.0-only
"""The coverage of a run with --tier on one subject: a pure function of the results log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from helpers.identity import Identity, MigrationId
from helpers.results.nodeids import without_parameter
from helpers.results.records import FAILED, KNOWN, NOT_APPLICABLE, PASSED, Log, Result, Tier

_CHECKED = {PASSED, FAILED, KNOWN}
"""The outcomes that are facts about the kernel."""


@dataclass(frozen=True)
class TierCoverage:
    """The clauses, planted faults and tests of a tier, each with the number in the complete suite."""

    name: str
    checked: int
    """The number of clauses with a test that passed, failed or had a known deviation."""
    clauses: int
    not_applicable: tuple[str, ...]
    """The clauses whose tests in the tier are all not applicable."""
    covered: int
    """The number of planted faults that one of these tests detects."""
    faults: int
    """The number of planted faults in the subject's dialect, or in all dialects if it has none; 0 for a migration."""
    tests: int
    complete: int

    @property
    def text(self) -> str:
        """The text in parentheses in the verdict."""
        parts = [f"{self.name} tier: {self.checked} of {self.clauses} clauses"]
        if self.not_applicable:
            parts.append(f"{len(self.not_applicable)} not applicable")
        if self.faults:
            parts.append(f"{self.covered} of {self.faults} planted faults covered")
        return ", ".join([*parts, f"{self.tests} of {self.complete} tests"])


def coverage(log: Log, subject: Identity, dialect: str, results: Iterable[Result]) -> TierCoverage | None:
    """The coverage of the log's tier on a subject with these results; None if the run had no tier."""
    tier = log.tier
    scope = next((each for each in tier.complete if each.subject == subject), None) if tier else None
    if tier is None or scope is None:
        return None
    outcomes: dict[str, set[str]] = {}
    checked = set()
    for result in results:
        for clause in result.clauses:
            outcomes.setdefault(clause, set()).add(result.outcome)
        if result.outcome in _CHECKED:
            checked.add(without_parameter(result.nodeid, subject))
    faults = [] if isinstance(subject, MigrationId) else _faults(tier, dialect)
    return TierCoverage(
        name=tier.name,
        checked=sum(bool(outcomes.get(clause, set()) & _CHECKED) for clause in scope.clauses),
        clauses=len(scope.clauses),
        not_applicable=tuple(clause for clause in scope.clauses if outcomes.get(clause) == {NOT_APPLICABLE}),
        covered=sum(any(tier.tests[number] in checked for number in numbers) for numbers in faults),
        faults=len(faults),
        tests=sum(case.subject == subject for case in log.collected),
        complete=scope.tests,
    )


def uncollected(log: Log, subject: Identity) -> tuple[str, ...]:
    """The tests of the log's tier that were not collected for a kernel: the list does not match the suite."""
    if log.tier is None or isinstance(subject, MigrationId):
        return ()
    tests = {without_parameter(case.nodeid, subject) for case in log.collected if case.subject == subject}
    return tuple(test for test in log.tier.tests if test not in tests)


def _faults(tier: Tier, dialect: str) -> list[tuple[int, ...]]:
    by_dialect: Mapping[str, Mapping[str, tuple[int, ...]]] = tier.faults
    chosen = [by_dialect[dialect]] if dialect in by_dialect else by_dialect.values()
    return [numbers for faults in chosen for numbers in faults.values()]
