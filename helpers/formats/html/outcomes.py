# SPDX-License-Identifier: GPL-2.0-only
"""All tests of the logs, by clause and by outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from helpers.formats.html.findings import FindingView
from helpers.formats.html.matrix import place
from helpers.formats.html.signs import WORST_FIRST
from helpers.results.columns import Column, sentences
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED, Clause, Result

T = TypeVar("T")


@dataclass(frozen=True)
class ResultGroup:
    """A finding, or all parameter sets of a test function with the same outcome; ``seconds`` is their total.

    The reason of a finding is its gist.
    """

    outcome: str
    name: str
    count: int
    reason: str
    parameters: tuple[str, ...]
    seconds: float
    target: str
    """The id of the finding, if it is one."""
    reproducer: str = ""
    """The path of the finding's C program, as in FindingView."""


@dataclass(frozen=True)
class ResultList:
    """Tests of one subject."""

    subject: str
    outcome: str
    count: int
    groups: tuple[ResultGroup, ...]
    place: str = ""
    """The id of its element if a link leads to it."""


def tests_by_clause(columns: tuple[Column, ...]) -> tuple[tuple[Clause, tuple[ResultList, ...]], ...]:
    """The clauses that have tests, each with its tests on each subject."""
    return _filled((each, [_of_clause(each.id, column) for column in columns]) for each in sentences(columns))


def _filled(lists: Iterable[tuple[T, Iterable[ResultList]]]) -> tuple[tuple[T, tuple[ResultList, ...]], ...]:
    """The headings and their lists, without the empty ones."""
    filled = ((heading, tuple(each for each in members if each.count)) for heading, members in lists)
    return tuple((heading, members) for heading, members in filled if members)


def _of_clause(clause: str, column: Column) -> ResultList:
    results = column.of_clause(clause)
    return ResultList(column.name, "", len(results), _groups(results, column), place(clause, column))


def tests_by_outcome(columns: tuple[Column, ...]) -> tuple[tuple[str, tuple[ResultList, ...]], ...]:
    """The lists of each subject: worst outcome first, tests that were not run last."""
    return _filled((column.name, _of_outcomes(column)) for column in columns)


def _of_outcomes(column: Column) -> Iterator[ResultList]:
    for outcome in WORST_FIRST:
        results = [result for result in column.results if result.outcome == outcome]
        groups = _groups(results, column)
        if outcome == PASSED:
            # The parameters are in the chapter of tests by clause. Repeating thousands of them would double the page.
            groups = tuple(replace(group, parameters=()) for group in groups)
        yield ResultList(column.name, outcome, len(results), groups)
    names, reasons = column.verdict.not_run, column.verdict.not_run_reasons
    groups = tuple(ResultGroup("", name, 1, reasons.get(name, ""), (), 0, "") for name in names)
    yield ResultList(column.name, "", len(names), groups)


def _groups(results: Iterable[Result], column: Column) -> tuple[ResultGroup, ...]:
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for each in sorted(results, key=lambda each: WORST_FIRST.index(each.outcome)):
        reason = each.message if each.outcome in (NOT_APPLICABLE, NOT_MEASURED) else ""
        name = each.nodeid if _is_finding(each) else each.nodeid.partition("[")[0]
        groups.setdefault((each.outcome, name, reason), []).append(each)
    return tuple(_group(outcome, name, reason, same, column) for (outcome, name, reason), same in groups.items())


def _is_finding(result: Result) -> bool:
    return result.outcome in (FAILED, ERROR, KNOWN)


def _group(outcome: str, name: str, reason: str, same: list[Result], column: Column) -> ResultGroup:
    finding = _is_finding(same[0])
    parameters = () if finding else tuple(filter(None, (_parameters(each, column) for each in same)))
    seconds = sum(each.duration for each in same)
    view = FindingView(column, same[0]) if finding else None
    target, reproducer, reason = (view.place, view.reproducer, view.gist) if view else ("", "", reason)
    return ResultGroup(outcome, name, len(same), reason, parameters, seconds, target, reproducer)


def _parameters(result: Result, column: Column) -> str:
    """A test's parameters without the subject, which the heading names."""
    return without_subject(result.nodeid, column.verdict.subject).partition("[")[2].removesuffix("]")
