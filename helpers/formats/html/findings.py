# SPDX-License-Identifier: GPL-2.0-only
"""The details of failures, errors and known deviations: requirement, expected and actual values, system calls."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from helpers.results.columns import Column
from helpers.results.records import ERROR, FAILED, KNOWN, Result
from helpers.results.reproduce import reproduce

MOST_IN_FULL = 100
"""More findings than these get one line each, because a broken kernel can fail thousands of tests for one reason."""
_REPRODUCER = re.compile(r"^C reproducer: (?:.*/)?(reproducers/[\w.-]+\.c)$", re.MULTILINE)
"""A line in the message of a test of suites/model."""
_COMPARISON = re.compile(r"^(.+)\n +expected: (.*)\n +actual: +(.*)$", re.MULTILINE)
"""One entry of the message of Comparison in helpers/contract/check.py."""
_LONGEST_GIST = 300


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
        return reproduce(self.column.log.session, self.result.nodeid)

    @property
    def reproducer(self) -> str:
        """The path of the C program, relative to the folder of the log; "" without one."""
        match = _REPRODUCER.search(self.result.message)
        return match[1] if match else ""

    @property
    def gist(self) -> str:
        """The first comparison that failed, or the first line of the message."""
        first = _COMPARISON.search(self.result.message)
        line = self.result.message.strip().partition("\n")[0]
        text = f"{first[1]}: expected {first[2]}, actual {first[3]}" if first else line
        return text if len(text) <= _LONGEST_GIST else f"{text[:_LONGEST_GIST]}..."


@dataclass(frozen=True)
class FindingsView:
    """All findings: the number of each clause, those with details, and those with one line."""

    count: int
    clauses: tuple[tuple[str, int], ...]
    full: tuple[FindingView, ...]
    brief: tuple[FindingView, ...]


def findings(columns: tuple[Column, ...]) -> FindingsView | None:
    """Failures, then errors, of each subject."""
    return _with_outcomes(columns, FAILED, ERROR)


def deviation_findings(columns: tuple[Column, ...]) -> FindingsView | None:
    """The known deviations of each subject."""
    return _with_outcomes(columns, KNOWN)


def _with_outcomes(columns: tuple[Column, ...], *outcomes: str) -> FindingsView | None:
    every = tuple(
        FindingView(column, result)
        for outcome in outcomes
        for column in columns
        for result in column.results
        if result.outcome == outcome
    )
    if not every:
        return None
    clauses = Counter(clause for each in every for clause in each.result.clauses)
    return FindingsView(len(every), tuple(clauses.most_common()), every[:MOST_IN_FULL], every[MOST_IN_FULL:])
