# SPDX-License-Identifier: GPL-2.0-only
"""The gate: may this run pass in CI, given a baseline of waived failures (helpers/results/baseline.py)?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from helpers.results.baseline import Waiver
from helpers.results.columns import Column
from helpers.results.records import FAILED, Result
from helpers.results.verdict import VerdictKind, exit_status, many, one_line

REQUIREMENTS = ("mainline", "rfc-v3", "any")


@dataclass(frozen=True)
class Gate:
    """The exit status, and why."""

    status: int
    lines: tuple[str, ...]


def gate(columns: tuple[Column, ...], baseline: tuple[Waiver, ...], require: str | None, today: date) -> Gate:
    """What gates. The verdicts stay what they are; a kernel that lacks what is required has failed."""
    stale, wanting = tuple(_stale(columns, baseline, today)), tuple(_wanting(columns, require))
    statuses = [*(3 for _ in stale), *(status for status, _ in wanting)]
    lines = [f"GATE: {text}" for text in (*stale, *(text for _, text in wanting))]
    if not columns:
        lines.append("GATE: no test of the suites was run")
    valid = tuple(each for each in baseline if each.until >= today)
    for column in columns:
        status, text = _judged(column, valid)
        statuses.append(status)
        lines.append(f"GATE: {column.name}: {text}")
    status = next((each for each in (1, 3, 5) if each in statuses), 0 if columns else 3)
    word = "passed" if status == 0 else f"closed with status {status}"
    return Gate(status, (*map(one_line, lines), f"GATE {word}"))


def _judged(column: Column, baseline: tuple[Waiver, ...]) -> tuple[int, str]:
    verdict = column.verdict
    failed = [result for result in column.results if result.outcome == FAILED]
    left = [result for result in failed if not _excused(column, result, baseline)]
    if verdict.kind is not VerdictKind.NON_CONFORMANT:
        why = f", because {'; '.join(verdict.reasons)}" if verdict.kind is VerdictKind.INCONCLUSIVE else ""
        return exit_status([verdict]), f"{verdict.word}{why}"
    if left:
        return 1, f"{len(left)} of {many(len(failed), 'failure')} not in the baseline, first {left[0].nodeid}"
    if verdict.reasons:
        return 3, f"every failure is in the baseline, but {'; '.join(verdict.reasons)}"
    if all(_excused(column, result, baseline) for result in column.results):
        return 3, "the baseline covers everything, so nothing that could fail would gate"
    return 0, f"{many(len(failed), 'failure')}, each in the baseline"


def _excused(column: Column, result: Result, baseline: tuple[Waiver, ...]) -> bool:
    concerned = [each for each in baseline if each.concerns(column, result)]
    named = {each.clause for each in concerned if each.clause}
    return any(each.test for each in concerned) or bool(result.clauses and set(result.clauses) <= named)


def _stale(columns: tuple[Column, ...], baseline: tuple[Waiver, ...], today: date) -> Iterator[str]:
    """Entries that have expired or that nothing needs: a baseline must shrink."""
    for entry in baseline:
        if entry.until < today:
            yield f"the baseline's entry for {entry.name} expired on {entry.until}: {entry.reason} {entry.url}"
            continue
        if any(column.verdict.reasons for column in columns if fnmatchcase(column.name, entry.subject)):
            # What was not found out is needed or not; the gate is closed for that already.
            continue
        met = [r for column in columns for r in column.results if entry.concerns(column, r)]
        if any(result.outcome == FAILED for result in met):
            continue
        if met or all(column.verdict.selection is None for column in columns):
            yield f"the baseline's entry for {entry.name} is not needed: nothing that it names fails; take it out"


def _wanting(columns: Iterable[Column], require: str | None) -> Iterator[tuple[int, str]]:
    """The status and why, for each subject that does not speak what it must, or of which that is not known."""
    for column in columns:
        dialect = column.verdict.info.dialect
        # The way between two kernels speaks nothing; each of them is a subject of its own.
        if require and column.way is None and not _speaks(dialect, require):
            known = f"speaks {dialect}" if dialect else "could not be asked what it speaks"
            yield (1 if dialect else 3), f"{column.name} {known}, and {require} is required"


def _speaks(dialect: str, require: str) -> bool:
    return dialect == require if require != "any" else dialect in REQUIREMENTS
