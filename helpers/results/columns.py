# SPDX-License-Identifier: GPL-2.0-only
"""The subjects of several logs side by side, as the reports show them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from helpers.identity import MigrationId
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASSED,
    Clause,
    Difference,
    Log,
    Result,
)
from helpers.results.verdict import Verdict, verdicts

# The common outcome of several results is the first of these that one of them has.
_PRECEDENCE = (FAILED, ERROR, NOT_MEASURED, KNOWN, PASSED, NOT_APPLICABLE)


@dataclass(frozen=True)
class Column:
    """One subject of one log."""

    log: Log
    verdict: Verdict
    results: tuple[Result, ...]
    place: int = 0
    """Its index in a report, for the ids of elements."""

    @property
    def name(self) -> str:
        """The subject's label."""
        return self.verdict.subject.label

    @property
    def way(self) -> MigrationId | None:
        """The subject if it is a migration, or None if it is a kernel."""
        subject = self.verdict.subject
        return subject if isinstance(subject, MigrationId) else None

    @cached_property
    def _by_clause(self) -> Mapping[str, list[Result]]:
        by_clause: dict[str, list[Result]] = defaultdict(list)
        for result in self.results:
            for clause in dict.fromkeys(result.clauses):
                by_clause[clause].append(result)
        return by_clause

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {result.nodeid: number for number, result in enumerate(self.results)}

    def number(self, result: Result) -> int:
        """The index of a result, for the ids of elements: unique, whatever characters a node id has."""
        return self._numbers[result.nodeid]

    def of_clause(self, clause: str) -> tuple[Result, ...]:
        """The results of the tests that check a clause."""
        return tuple(self._by_clause.get(clause, ()))


def columns(logs: Iterable[Log]) -> tuple[Column, ...]:
    """Every subject of every log, in order."""
    pairs = [(log, each) for log in logs for each in verdicts(log)]
    return tuple(Column(log, each, each.results, place) for place, (log, each) in enumerate(pairs))


def summary(results: Iterable[Result]) -> tuple[str | None, Mapping[str, int]]:
    """The common outcome of some results (None without results), and the number of results of each outcome."""
    counts = Counter(result.outcome for result in results)
    return next((each for each in _PRECEDENCE if counts[each]), None), counts


def sentences(all_columns: Iterable[Column]) -> tuple[Clause, ...]:
    """Every clause of the logs. A log of version 1 has clauses only in its results."""
    clauses: dict[str, Clause] = {}
    for column in all_columns:
        for sentence in column.log.contract.sentences:
            clauses.setdefault(sentence.id, sentence)
    for column in all_columns:
        for result in column.results:
            alone = len(result.clauses) == 1
            folders = result.nodeid.partition("[")[0].split("/")
            chapter = folders[1] if len(folders) > 2 else "suites"
            for clause in result.clauses:
                text, source = (result.requirement, result.source) if alone else ("", "")
                clauses.setdefault(clause, Clause(clause, text, source, "", chapter))
    return tuple(clauses.values())


def differences(all_columns: Iterable[Column]) -> tuple[Difference, ...]:
    """Every difference between documents and code in the logs, once."""
    return tuple({each.id: each for column in all_columns for each in column.log.contract.differences}.values())
