# SPDX-License-Identifier: GPL-2.0-only
"""The report's chapters. They need no scripts and no style sheets, which Jenkins' content policy forbids.

``document`` is a complete page; pytest-html's page has the same chapters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.formats.html.findings import deviation_findings, findings
from helpers.formats.html.matrix import matrix, migrations
from helpers.formats.html.outcomes import tests_by_clause, tests_by_outcome
from helpers.formats.html.registers import register_tables
from helpers.formats.html.render import anchor, render
from helpers.formats.html.services import service_tables
from helpers.formats.html.verdicts import KNOWN_DEVIATIONS, start_text, verdict_boxes
from helpers.results.columns import Column, differences

TITLE = "KVM/arm64 hypercall bitmap registers: conformance"
PROOF = "proof.html"
"""The page of faults.prove; the report links to it if it is in the same folder."""
_PROOF_LINK = (PROOF, "Proof that the tests can fail")
_TABLE = ("#results-by-pytest-html", "Table by pytest-html")


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
    every = (Chapter(name, template, view(columns)) for name, (template, view) in _CHAPTERS.items())
    # Without known deviations, their chapter is omitted.
    chapters = tuple(each for each in every if each.view or each.name != KNOWN_DEVIATIONS)
    links = (*more, *([_PROOF_LINK] if proof else []))
    return {"title": TITLE, "boxes": verdict_boxes(columns), "chapters": chapters, "links": links}


def _environment(columns: tuple[Column, ...]) -> tuple[FactTable, ...]:
    infos = [(each.name, each.verdict.info) for each in columns if each.way is None]
    kernels = [(subject, {"dialect": info.dialect, **info.environment}) for subject, info in infos]
    tables = [_facts("Kernels under test", kernels)]
    for column in {id(column.log): column for column in columns}.values():
        session = column.log.session
        argv = [word for word in session.argv if not word.startswith("--reports")]
        facts = {"start": start_text(column), **session.environment, "arguments": " ".join(argv)}
        tables.append(_facts("Test suite and host", [("", facts)]))
    return tuple(tables)


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
