# SPDX-License-Identifier: GPL-2.0-only
"""The gate: the exit status of a run in CI, given a baseline of waived failures (helpers/results/baseline.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from helpers.results.baseline import Acceptance, Waiver
from helpers.results.columns import Column
from helpers.results.records import FAILED, NOT_MEASURED, Result
from helpers.results.verdict import WORST_FIRST, VerdictKind, exit_status, many, one_line

REQUIREMENTS = ("mainline", "rfc-v3", "any")


@dataclass(frozen=True)
class Gate:
    """The exit status, and why."""

    status: int
    lines: tuple[str, ...]


def gate(
    columns: tuple[Column, ...],
    baseline: tuple[Waiver, ...],
    require: str | None,
    today: date,
    acceptances: tuple[Acceptance, ...] = (),
) -> Gate:
    """The gate for these results. It does not change the verdicts. A subject without the required dialect fails."""
    checks = [*_stale(columns, baseline, today), *_unused(columns, acceptances, today), *_wanting(columns, require)]
    if not columns:
        checks.append((3, "no test of the suites was run"))
    valid = tuple(each for each in baseline if each.until >= today)
    for column in columns:
        status, text = _judged(column, valid)
        checks.append((status, f"{column.name}: {text}"))
    statuses = {status for status, _ in checks}
    status = next((each for each in WORST_FIRST if each in statuses), 0)
    word = "passed" if status == 0 else f"closed with status {status}"
    return Gate(status, (*(one_line(f"GATE: {text}") for _, text in checks), f"GATE {word}"))


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
        return 3, "the baseline covers everything: it waives every test, so no failure could close the gate"
    unknown = [each.text for each in verdict.info.unknown if not each.accepted]
    if unknown:
        text = f"every failure is in the baseline, but the suite does not know {', '.join(unknown)}"
        return VerdictKind.NEWER.status, text
    unmeasured = f"; {len(verdict.unmeasured)} not measured" if verdict.unmeasured else ""
    return 0, f"{many(len(failed), 'failure')}, each in the baseline{unmeasured}"


def _excused(column: Column, result: Result, baseline: tuple[Waiver, ...]) -> bool:
    concerned = [each for each in baseline if each.concerns(column, result)]
    named = {each.clause for each in concerned if each.clause}
    return any(each.test for each in concerned) or bool(result.clauses and set(result.clauses) <= named)


def _stale(columns: tuple[Column, ...], baseline: tuple[Waiver, ...], today: date) -> Iterator[tuple[int, str]]:
    """Errors for entries that have expired or that no failure needs. They must be removed from the baseline."""
    for entry in baseline:
        if entry.until < today:
            yield 3, f"the baseline's entry for {entry.name} expired on {entry.until}: {entry.reason} {entry.url}"
            continue
        if any(column.verdict.reasons for column in columns if fnmatchcase(column.name, entry.subject)):
            # The results are incomplete, so the entry may be needed. The verdict's reasons close the gate.
            continue
        results = [each for column in columns for each in column.results if entry.concerns(column, each)]
        if any(result.outcome in (FAILED, NOT_MEASURED) for result in results):
            # A test that was not measured may still fail, so the entry may be needed.
            continue
        if results or all(column.verdict.selection is None for column in columns):
            yield 3, f"the baseline's entry for {entry.name} is not needed: no test that it names fails; remove it"


def _unused(columns: tuple[Column, ...], acceptances: tuple[Acceptance, ...], today: date) -> Iterator[tuple[int, str]]:
    """Errors for accepted unknown services that have expired, or that no subject with a matching name has."""
    for entry in acceptances:
        concerned = [column for column in columns if column.way is None and fnmatchcase(column.name, entry.subject)]
        services = {each.name for column in concerned for each in column.verdict.info.unknown}
        if entry.until < today:
            yield 3, f"the baseline's entry for {entry.name} expired on {entry.until}: {entry.reason} {entry.url}"
        elif concerned and entry.service not in services:
            yield 3, f"the baseline's entry for {entry.name} is not needed: no such kernel has it; remove it"


def _wanting(columns: Iterable[Column], require: str | None) -> Iterator[tuple[int, str]]:
    """The status and why, for each subject whose dialect is unknown or not the required one."""
    accepted = REQUIREMENTS if require == "any" else (require,)
    for column in columns:
        dialect = column.verdict.info.dialect
        # A migration has no dialect; each of its kernels is a separate subject.
        if require and column.way is None and dialect not in accepted:
            dialect_text = f"has the dialect {dialect}" if dialect else "has an unknown dialect"
            yield (1 if dialect else 3), f"{column.name} {dialect_text}, and {require} is required"
