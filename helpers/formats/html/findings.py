# SPDX-License-Identifier: GPL-2.0-only
"""Failures, errors and known deviations: requirement, expected and actual values, system calls."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from helpers.results.columns import Column
from helpers.results.records import ERROR, FAILED, KNOWN, Result

MOST_IN_FULL = 100
"""Later findings get one line each: a broken kernel fails thousands of tests for one reason."""


@dataclass(frozen=True)
class FindingView:
    """One failure, error or known deviation of a subject."""

    column: Column
    result: Result

    @property
    def place(self) -> str:
        """The id of its element."""
        return f"finding-{self.column.place}-{self.column.number(self.result)}"

    @property
    def name(self) -> str:
        """The clauses and the test."""
        place, bracket, parameters = self.result.nodeid.partition("[")
        return ", ".join([*self.result.clauses, f"{place.rpartition('/')[2]}{bracket}{parameters}"])

    @property
    def command(self) -> str:
        """The command that repeats the test, with the options of the run, because test ids depend on them."""
        options = [shlex.quote(each) for each in _options(self.column.log.session.argv)]
        return " ".join(["pytest", *options, shlex.quote(self.result.nodeid)])


@dataclass(frozen=True)
class FindingsView:
    """All findings: the number of each clause, those with details, and those with one line."""

    count: int
    clauses: tuple[tuple[str, int], ...]
    full: tuple[FindingView, ...]
    brief: tuple[FindingView, ...]


def findings(columns: tuple[Column, ...]) -> FindingsView | None:
    """Failures, then errors, then known deviations, of each subject."""
    every = tuple(
        FindingView(column, result)
        for outcome in (FAILED, ERROR, KNOWN)
        for column in columns
        for result in column.results
        if result.outcome == outcome
    )
    if not every:
        return None
    clauses = Counter(clause for each in every for clause in each.result.clauses)
    return FindingsView(len(every), tuple(clauses.most_common()), every[:MOST_IN_FULL], every[MOST_IN_FULL:])


def _options(argv: Sequence[str]) -> Iterator[str]:
    """The long options with their values, without --reports."""
    for word, following in pairwise((*argv, "")):
        if not word.startswith("--") or word.startswith("--reports"):
            continue
        yield word
        # The word after an option is its value unless it is a test or another option.
        if following and "=" not in word and not following.startswith("-") and not _is_test(following):
            yield following


def _is_test(word: str) -> bool:
    return "::" in word or word.endswith(".py") or word.partition("/")[0] == "suites"
