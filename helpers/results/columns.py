# SPDX-License-Identifier: GPL-2.0-only
"""Logs side by side: what every report that shows several subjects is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from helpers.identity import MigrationId
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED, Clause, Difference, Log, Result
from helpers.results.verdict import Verdict, results_for, verdicts

# What a cell of several results says: any failure outweighs every pass, and one pass every "not applicable".
_WEIGHT = (FAILED, ERROR, KNOWN, PASSED, NOT_APPLICABLE)


@dataclass(frozen=True)
class Column:
    """One subject of one log."""

    log: Log
    verdict: Verdict
    results: tuple[Result, ...]
    place: int = 0
    """Its number in a report, for the ids of elements."""

    @property
    def name(self) -> str:
        """The subject's label."""
        return self.verdict.subject.label

    @property
    def way(self) -> MigrationId | None:
        """From which kernel to which a VM migrated; None where the subject is a kernel."""
        subject = self.verdict.subject
        return subject if isinstance(subject, MigrationId) else None

    @cached_property
    def _by_clause(self) -> Mapping[str, tuple[Result, ...]]:
        found: dict[str, list[Result]] = {}
        for result in self.results:
            for clause in dict.fromkeys(result.clauses):
                found.setdefault(clause, []).append(result)
        return {clause: tuple(results) for clause, results in found.items()}

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {result.nodeid: number for number, result in enumerate(self.results)}

    def number(self, result: Result) -> int:
        """The place of one of its results, for the ids of elements: whatever they are called, no two share it."""
        return self._numbers[result.nodeid]

    def of_clause(self, clause: str) -> tuple[Result, ...]:
        """The results of the tests that check a clause."""
        return self._by_clause.get(clause, ())


def columns(logs: Iterable[Log]) -> tuple[Column, ...]:
    """Every subject of every log, in order."""
    found = [(log, each) for log in logs for each in verdicts(log)]
    return tuple(Column(log, each, results_for(log, each.subject), place) for place, (log, each) in enumerate(found))


def summary(results: Iterable[Result]) -> tuple[str | None, Mapping[str, int]]:
    """What some results say together (None for none), and how many there are of each outcome."""
    counts = Counter(result.outcome for result in results)
    return next((each for each in _WEIGHT if counts[each]), None), counts


def sentences(all_columns: Iterable[Column]) -> tuple[Clause, ...]:
    """Every clause that a log or a result knows. A log of version 1 names them with its results only."""
    found: dict[str, Clause] = {}
    for column in all_columns:
        for sentence in column.log.contract.sentences:
            found.setdefault(sentence.id, sentence)
    for column in all_columns:
        for result in column.results:
            alone = len(result.clauses) == 1
            folders = result.nodeid.partition("[")[0].split("/")
            chapter = folders[1] if len(folders) > 2 else "suites"
            for clause in result.clauses:
                text = result.requirement if alone else ""
                found.setdefault(clause, Clause(clause, text, result.source if alone else "", "", chapter))
    return tuple(found.values())


def differences(all_columns: Iterable[Column]) -> tuple[Difference, ...]:
    """Every difference between documents and code that a log knows, once."""
    found = {each.id: each for column in all_columns for each in column.log.contract.differences}
    return tuple(found.values())
