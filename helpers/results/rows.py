# SPDX-License-Identifier: GPL-2.0-only
"""The rows of every machine-readable report. All formats use them, so that their counts and verdicts agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helpers.errors import UsageError
from helpers.identity import Identity
from helpers.results.records import ERROR, FAILED, NOT_APPLICABLE, Log, Result
from helpers.results.verdict import Verdict, VerdictKind, verdicts

VERDICT_ROW = "verdict"
"""The node id of the row for a verdict that no test's row shows: inconclusive, or with unknown services."""


@dataclass(frozen=True)
class Section:
    """One subject in a report: its verdict and a row for each test; ``time`` in seconds since 1970."""

    verdict: Verdict
    rows: tuple[Result, ...]
    not_run: frozenset[str]
    """The node ids of the tests without a result; their rows are errors."""
    time: float

    @property
    def subject(self) -> Identity:
        """The subject of the rows."""
        return self.verdict.subject


def sections(log: Log) -> tuple[Section, ...]:
    """The subjects of one log."""
    return tuple(_section(log, verdict) for verdict in verdicts(log))


def sections_of_all(logs: Sequence[tuple[str, Log]]) -> tuple[Section, ...]:
    """The subjects of several logs (name and log). Raises UsageError if two logs have the same subject."""
    named = [(name, section) for name, log in logs for section in sections(log)]
    # By label, because logs of version 1 and 2 have only labels.
    owners: dict[str, str] = {}
    for name, section in named:
        label = section.subject.label
        if label in owners:
            what = f"{label} has results in both {owners[label]} and {name}"
            raise UsageError(what, why="a report has one verdict for each subject", cure="Convert them one by one")
        owners[label] = name
    return tuple(section for _, section in named)


def _section(log: Log, verdict: Verdict) -> Section:
    not_run = [_not_run(nodeid, verdict) for nodeid in verdict.not_run]
    rows = [*verdict.results, *not_run]
    if verdict.kind is VerdictKind.INCONCLUSIVE and not any(row.outcome in (ERROR, FAILED) for row in rows):
        # For example, the log ends after a passed test. A reader that has only the rows must not read that as a pass.
        rows.append(Result(VERDICT_ROW, verdict.subject, ERROR, message="; ".join(verdict.reasons)))
    if verdict.kind is VerdictKind.NEWER:
        rows.append(Result(VERDICT_ROW, verdict.subject, NOT_APPLICABLE, message=verdict.word))
    return Section(verdict, tuple(rows), frozenset(verdict.not_run), log.session.time)


def _not_run(nodeid: str, verdict: Verdict) -> Result:
    reason = verdict.not_run_reasons.get(nodeid, "")
    return Result(nodeid, verdict.subject, ERROR, message=f"not run: {reason}" if reason else "not run")
