# SPDX-License-Identifier: GPL-2.0-only
"""The conformance matrix (clauses by kernels), and the migration matrix (source by destination)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from helpers.formats.html.render import anchor
from helpers.formats.html.signs import SIGNS, WORDS
from helpers.identity import MigrationId
from helpers.results.columns import Column, sentences, summary
from helpers.results.records import NOT_APPLICABLE, PASSED, Result


@dataclass(frozen=True)
class MatrixCell:
    """A state, a short text, a long text, and the id of the element with the details, if any."""

    state: str | None
    text: str
    label: str
    target: str = ""
    note: str = ""


MatrixRow = tuple[str, str, tuple[MatrixCell, ...]]


@dataclass(frozen=True)
class MatrixView:
    """Column headings, and groups of rows: the group's name, each row's id, text and cells, and each column's total."""

    heads: tuple[str, ...]
    groups: tuple[tuple[str, tuple[MatrixRow, ...], tuple[str, ...]], ...]


def place(clause: str, column: Column) -> str:
    """The id of the element that lists a clause's tests on a subject."""
    return anchor(f"tests {clause} {column.place}")


def matrix(columns: tuple[Column, ...]) -> MatrixView | None:
    """A row for each clause, in the contract's chapters; a column for each kernel."""
    kernels = tuple(column for column in columns if column.way is None)
    clauses = sentences(columns)
    if not clauses or not kernels:
        return None
    groups = (
        (chapter, tuple((each.id, each.text, tuple(_cell(each.id, column) for column in kernels)) for each in members))
        for chapter, members in groupby(clauses, key=lambda each: each.chapter)
    )
    totalled = tuple((chapter, rows, _totals(rows)) for chapter, rows in groups)
    return MatrixView(("Clause", *(column.name for column in kernels)), totalled)


def _totals(rows: tuple[MatrixRow, ...]) -> tuple[str, ...]:
    """For each kernel, how many of the applicable clauses passed; "" if none is applicable."""
    columns = zip(*(cells for _, _, cells in rows), strict=True)
    states = [[cell.state for cell in cells if cell.state not in (None, NOT_APPLICABLE)] for cells in columns]
    return tuple(f"{each.count(PASSED)}/{len(each)}" if each else "" for each in states)


def _cell(clause: str, column: Column) -> MatrixCell:
    results = column.of_clause(clause)
    state, counts = summary(results)
    counted = ", ".join(f"{counts[each]} {WORDS[each]}" for each in WORDS if each and counts[each])
    label = f"{clause} on {column.name}: {counted or 'no test was run'}"
    return MatrixCell(state, _short(results), label, place(clause, column) if results else "")


def _short(results: Iterable[Result]) -> str:
    """The sign, and how many of the applicable tests passed."""
    state, counts = summary(results)
    applicable = sum(counts.values()) - counts[NOT_APPLICABLE]
    return f"{SIGNS[state]} {counts[PASSED]}/{applicable}" if applicable else SIGNS[state]


def migrations(columns: tuple[Column, ...]) -> MatrixView:
    """A row for each source kernel, a column for each destination; no group if no VM migrated."""
    ways = {column.way: column for column in columns if column.way is not None}
    kernels = tuple(dict.fromkeys(kernel for way in ways for kernel in (way.source, way.target)))
    rows = tuple(
        ("", f"from {source.label}", tuple(_way(ways.get(MigrationId(source, target))) for target in kernels))
        for source in kernels
    )
    return MatrixView(("VM", *(f"to {each.label}" for each in kernels)), (("", rows, ()),) if rows else ())


def _way(column: Column | None) -> MatrixCell:
    if column is None:
        return MatrixCell(None, SIGNS[None], WORDS[None])
    state, _ = summary(column.results)
    label = f"{column.verdict.word} {column.name}: {column.verdict.counted}"
    clause = next((clause for result in column.results for clause in result.clauses), None)
    note = column.verdict.info.environment.get("migration", "")
    return MatrixCell(state, _short(column.results), label, place(clause, column) if clause else "", note)
