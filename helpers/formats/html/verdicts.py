# SPDX-License-Identifier: GPL-2.0-only
"""The boxes at the top of the page: the verdict on each kernel, and one box for all migrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from helpers.formats.html.findings import FindingView
from helpers.formats.html.signs import VERDICT_SIGNS
from helpers.results.columns import Column, sentences
from helpers.results.records import FAILED, KNOWN, KnownDeviation, Result
from helpers.results.verdict import Verdict, VerdictKind

KNOWN_DEVIATIONS = "Known deviations"
ACCEPT = "--accept-unknown"
"""The option of a run that accepts an unknown service."""
_NOTES = "Notes, which do not affect the verdict"
_ON_TOP = ("suite", "runs on")
"""Facts of the session and of the subject, by name."""


@dataclass(frozen=True)
class BrokenClause:
    """A clause with failed tests, its sentence, and the id of the first failure."""

    id: str
    text: str
    target: str


@dataclass(frozen=True)
class DeviationLine:
    """A known deviation, and the id of the first result that showed it."""

    deviation: KnownDeviation
    target: str

    @property
    def url(self) -> str:
        """The deviation's link; "" if it is no link for a browser, because a log can have any text."""
        link = self.deviation.link
        return link if link.startswith(("https://", "http://")) else ""


@dataclass(frozen=True)
class VerdictBox:
    """A verdict at the top of the page: title, paragraphs, broken clauses, known deviations, named lists of lines."""

    kind: VerdictKind
    title: str
    paragraphs: tuple[str, ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, tuple[str, ...]]
    facts: tuple[tuple[str, str], ...] = ()
    broken: tuple[BrokenClause, ...] = ()
    deviations: tuple[DeviationLine, ...] = ()


def verdict_boxes(columns: tuple[Column, ...]) -> tuple[VerdictBox, ...]:
    """A box for each kernel, and one for all migrations."""
    texts = {each.id: each.text for each in sentences(columns)}
    boxes = tuple(_box(column, texts) for column in columns if column.way is None)
    moved = tuple(column.verdict for column in columns if column.way is not None)
    return (*boxes, _migration_box(moved)) if moved else boxes


def start_text(column: Column) -> str:
    """The start of the run as text; "" if the log's number is no valid date."""
    try:
        return f"{datetime.fromtimestamp(column.log.session.time, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return ""


def _box(column: Column, texts: Mapping[str, str]) -> VerdictBox:
    verdict = column.verdict
    missing = verdict.unmeasured_clauses
    unmeasured = (f"Clauses not measured: {', '.join(missing)}",) if missing else ()
    absent = verdict.tier.not_applicable if verdict.tier else ()
    not_applicable = (f"Clauses not applicable: {', '.join(absent)}",) if absent else ()
    broken = (BrokenClause(each, texts[each], _first(column, FAILED, each)) for each in verdict.broken)
    deviations = (DeviationLine(each, _first(column, KNOWN, each.clause)) for each in verdict.known)
    return VerdictBox(
        verdict.kind,
        verdict.title,
        (verdict.counted, *unmeasured, *not_applicable),
        tuple(_lists(verdict).items()),
        (_NOTES, verdict.note_lines),
        _facts(column),
        tuple(broken),
        tuple(deviations),
    )


def _lists(verdict: Verdict) -> Mapping[str, tuple[str, ...]]:
    unknown = tuple(
        f"{each.text}: accepted by {ACCEPT} {each.name}"
        if each.accepted
        else f"{each.text}: the suite has no specific tests for it; {ACCEPT} {each.name} accepts it"
        for each in verdict.info.unknown
    )
    return {
        "Unknown services": unknown,
        "Why the verdict is inconclusive": verdict.reasons if verdict.kind is VerdictKind.INCONCLUSIVE else (),
        "Not measured": tuple(map(_with_reason, verdict.unmeasured)),
        "Errors": tuple(map(_with_reason, verdict.errors)),
        "Not run": verdict.not_run_lines,
    }


def _first(column: Column, outcome: str, clause: str) -> str:
    """The id of the first finding with this outcome and clause."""
    results = column.of_clause(clause)
    return next((FindingView(column, result).place for result in results if result.outcome == outcome), "")


def _facts(column: Column) -> tuple[tuple[str, str], ...]:
    facts = {**column.log.session.environment, **column.verdict.info.environment}
    pairs = (("start", start_text(column)), *((name, facts.get(name, "")) for name in _ON_TOP))
    return tuple((name, text) for name, text in pairs if text)


def _with_reason(result: Result) -> str:
    return f"{result.nodeid}: {result.message.strip().partition(chr(10))[0]}"


def _migration_box(verdicts: tuple[Verdict, ...]) -> VerdictBox:
    """One box for all migrations. It has the worst kind of verdict, and the verdicts that are not conformant."""
    others = tuple(each.line for each in verdicts if each.kind is not VerdictKind.CONFORMANT)
    worst = min((each.kind for each in verdicts), key=list(VERDICT_SIGNS).index)
    title = f"Migration: {len(verdicts) - len(others)} of {len(verdicts)} kernel pairs are conformant"
    unmeasured = tuple(_with_reason(result) for each in verdicts for result in each.unmeasured)
    notes = tuple(f"{each.subject.label}: {line}" for each in verdicts for line in each.note_lines)
    lists = (("Other verdicts", others), ("Not measured", unmeasured))
    return VerdictBox(worst, title, (), lists, (_NOTES, notes))
