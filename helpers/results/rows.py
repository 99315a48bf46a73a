# SPDX-License-Identifier: GPL-2.0-only
"""The rows that every machine report has, whatever its format: so that none counts or judges otherwise than another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from helpers.errors import UsageError
from helpers.identity import Identity
from helpers.results.records import ERROR, FAILED, Log, Result
from helpers.results.verdict import Verdict, VerdictKind, results_for, verdicts

VERDICT_ROW = "verdict"
"""The node id of the row that stands for a doubt which no test's row shows."""


@dataclass(frozen=True)
class Section:
    """One subject in a report: its verdict and a row for each test; ``time`` in seconds since 1970."""

    verdict: Verdict
    rows: tuple[Result, ...]
    not_run: frozenset[str]
    """The node ids of the rows that no log has a result for; as rows they are errors."""
    time: float

    @property
    def subject(self) -> Identity:
        """What the rows are results about."""
        return self.verdict.subject


def sections(log: Log) -> tuple[Section, ...]:
    """The subjects of one log."""
    return tuple(_section(log, verdict) for verdict in verdicts(log))


def sections_of_all(logs: Sequence[tuple[str, Log]]) -> tuple[Section, ...]:
    """The subjects of several logs (name and log). Raises UsageError for a subject that two of them judge.

    Nothing says which of the two would count, and the better one must not.
    """
    # By label, because a log of version 1 or 2 has nothing else.
    home: dict[str, str] = {}
    found: list[Section] = []
    for name, log in logs:
        for section in sections(log):
            label = section.subject.label
            if label in home:
                what = f"{label} has results in both {home[label]} and {name}"
                raise UsageError(what, why="a report has one verdict for each subject", cure="Convert them one by one")
            home[label] = name
            found.append(section)
    return tuple(found)


def _section(log: Log, verdict: Verdict) -> Section:
    lost = [Result(nodeid, verdict.subject, ERROR, message="not run") for nodeid in verdict.not_run]
    rows = [*results_for(log, verdict.subject), *lost]
    if verdict.kind is VerdictKind.INCONCLUSIVE and not _show_red(rows):
        # A log that breaks off after its last good result, say: a reader of rows alone must not take it for green.
        rows.append(Result(VERDICT_ROW, verdict.subject, ERROR, message="; ".join(verdict.reasons)))
    return Section(verdict, tuple(rows), frozenset(verdict.not_run), log.session.time)


def _show_red(rows: Iterable[Result]) -> bool:
    return any(row.outcome in (ERROR, FAILED) for row in rows)
