# SPDX-License-Identifier: GPL-2.0-only
"""The report's chapters. They need no scripts and no style sheets, which Jenkins' content policy forbids.

``document`` is a complete page; pytest-html's page has the same chapters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from helpers.formats.html.findings import deviation_findings, findings
from helpers.formats.html.matrix import matrix, migrations
from helpers.formats.html.outcomes import tests_by_clause, tests_by_outcome
from helpers.formats.html.registers import register_tables
from helpers.formats.html.render import anchor, render
from helpers.formats.html.services import service_tables
from helpers.formats.html.signs import VERDICT_SIGNS
from helpers.results.columns import Column, differences
from helpers.results.records import Result
from helpers.results.verdict import Verdict, VerdictKind

TITLE = "KVM/arm64 hypercall bitmap registers: conformance"
PROOF = "proof.html"
"""The page of faults.prove; the report links to it if it is in the same folder."""
_PROOF_LINK = (PROOF, "Proof that the tests can fail")
KNOWN_DEVIATIONS = "Known deviations"
_NOTES = "Notes, which do not affect the verdict"
ACCEPT = "--accept-unknown"
"""The option of a run that accepts an unknown service."""
_TABLE = ("#results-by-pytest-html", "Table by pytest-html")


@dataclass(frozen=True)
class VerdictBox:
    """A verdict at the top of the page: title, paragraphs, named lists of lines."""

    kind: VerdictKind
    title: str
    paragraphs: tuple[str, ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class FactTable:
    """Named facts about one or several subjects, side by side."""

    caption: str
    subjects: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Chapter:
    """A chapter: its name, its template, and the template's data."""

    name: str
    template: str
    view: Any

    @property
    def id(self) -> str:
        """The id of its heading."""
        return anchor(f"chapter {self.name}")


def document(columns: tuple[Column, ...], proof: bool = False) -> str:
    """A complete page; ``proof`` adds a link to PROOF in the same folder."""
    return render("report.html.jinja2", **_data(columns, proof))


def pytest_html_part(columns: tuple[Column, ...], proof: bool, shortened: bool) -> str:
    """The part of pytest-html's page above its table; ``shortened``: the table has no rows of good results."""
    return render("pytest_html.html.jinja2", shortened=shortened, **_data(columns, proof, _TABLE))


def _data(columns: tuple[Column, ...], proof: bool, *more: tuple[str, str]) -> Mapping[str, object]:
    boxes = [_box(column.verdict) for column in columns if column.way is None]
    moved = [column.verdict for column in columns if column.way is not None]
    if moved:
        boxes.append(_migration_box(moved))
    every = (Chapter(name, template, view(columns)) for name, (template, view) in _CHAPTERS.items())
    # Without known deviations, their chapter is omitted.
    chapters = tuple(each for each in every if each.view or each.name != KNOWN_DEVIATIONS)
    links = (*more, *([_PROOF_LINK] if proof else []))
    return {"title": TITLE, "boxes": boxes, "chapters": chapters, "links": links}


def _box(verdict: Verdict) -> VerdictBox:
    broken = (f"Broken clauses: {', '.join(verdict.broken)}",) if verdict.broken else ()
    missing = verdict.unmeasured_clauses
    unmeasured = (f"Clauses not measured: {', '.join(missing)}",) if missing else ()
    absent = verdict.tier.not_applicable if verdict.tier else ()
    not_applicable = (f"Clauses not applicable: {', '.join(absent)}",) if absent else ()
    inconclusive = verdict.kind is VerdictKind.INCONCLUSIVE
    deviations = tuple(f"{each.name} ({each.clause}): {each.reason} {each.link}" for each in verdict.known)
    unknown = tuple(
        f"{each.text}: accepted by {ACCEPT} {each.name}"
        if each.accepted
        else f"{each.text}: the suite has no specific tests for it; {ACCEPT} {each.name} accepts it"
        for each in verdict.info.unknown
    )
    lists = {
        "Unknown services": unknown,
        KNOWN_DEVIATIONS: deviations,
        "Why the verdict is inconclusive": verdict.reasons if inconclusive else (),
        "Not measured": tuple(map(_with_reason, verdict.unmeasured)),
        "Errors": tuple(map(_with_reason, verdict.errors)),
        "Not run": verdict.not_run_lines,
        _NOTES: verdict.note_lines,
    }
    paragraphs = (verdict.counted, *broken, *unmeasured, *not_applicable)
    return VerdictBox(verdict.kind, verdict.title, paragraphs, tuple(lists.items()))


def _with_reason(result: Result) -> str:
    return f"{result.nodeid}: {result.message.strip().partition(chr(10))[0]}"


def _migration_box(verdicts: list[Verdict]) -> VerdictBox:
    """One box for all migrations. It has the worst kind of verdict, and the verdicts that are not conformant."""
    others = tuple(each.line for each in verdicts if each.kind is not VerdictKind.CONFORMANT)
    worst = min((each.kind for each in verdicts), key=list(VERDICT_SIGNS).index)
    title = f"Migration: {len(verdicts) - len(others)} of {len(verdicts)} kernel pairs are conformant"
    unmeasured = tuple(_with_reason(result) for each in verdicts for result in each.unmeasured)
    notes = tuple(f"{each.subject.label}: {line}" for each in verdicts for line in each.note_lines)
    lists = (("Other verdicts", others), ("Not measured", unmeasured), (_NOTES, notes))
    return VerdictBox(worst, title, (), lists)


def _environment(columns: tuple[Column, ...]) -> tuple[FactTable, ...]:
    infos = [(each.name, each.verdict.info) for each in columns if each.way is None]
    kernels = [(subject, {"dialect": info.dialect, **info.environment}) for subject, info in infos]
    tables = [_facts("Kernels under test", kernels)]
    for log in {id(column.log): column.log for column in columns}.values():
        argv = [word for word in log.session.argv if not word.startswith("--reports")]
        facts = {"start": _date(log.session.time), **log.session.environment, "arguments": " ".join(argv)}
        tables.append(_facts("Test suite and host", [("", facts)]))
    return tuple(tables)


def _date(seconds: float) -> str:
    """Seconds since 1970 as text; "" if the log's number is no valid date."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return ""


def _facts(caption: str, subjects: Sequence[tuple[str, Mapping[str, str]]]) -> FactTable:
    names = dict.fromkeys(name for _, values in subjects for name, text in values.items() if text)
    rows = tuple((name, tuple(values.get(name, "") for _, values in subjects)) for name in names)
    return FactTable(caption, tuple(subject for subject, _ in subjects) if len(subjects) > 1 else (), rows)


_CHAPTERS: Mapping[str, tuple[str, Callable[[tuple[Column, ...]], Any]]] = {
    "Failures": ("findings.html.jinja2", findings),
    KNOWN_DEVIATIONS: ("findings.html.jinja2", deviation_findings),
    "Conformance matrix": ("matrix.html.jinja2", matrix),
    "Migration": ("migrations.html.jinja2", migrations),
    "Registers": ("registers.html.jinja2", register_tables),
    "Services": ("services.html.jinja2", service_tables),
    "Documents and code": ("differences.html.jinja2", differences),
    "Tests by clause": ("tests_by_clause.html.jinja2", tests_by_clause),
    "All results": ("tests_by_outcome.html.jinja2", tests_by_outcome),
    "Environment": ("environment.html.jinja2", _environment),
}
