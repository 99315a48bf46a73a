# SPDX-License-Identifier: GPL-2.0-only
"""The conformance matrix, clauses by kernels, and the one of migrations, from each kernel to each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from helpers.formats.html.signs import SIGNS, WORDS, legend, style_of
from helpers.formats.html.tables import table
from helpers.formats.html.text import anchor, html_text
from helpers.results.columns import Column, sentences, summary
from helpers.results.records import NOT_APPLICABLE, PASSED, Clause


def place(clause: str, column: Column) -> str:
    """The id of the list of a clause's tests on a subject."""
    return anchor(f"tests {clause} {column.place}")


def matrix(columns: tuple[Column, ...]) -> Iterator[str]:
    """A row for each clause, under its chapter; a column for each kernel; each cell leads to its tests."""
    kernels = tuple(column for column in columns if column.way is None)
    known = sentences(columns)
    if not known or not kernels:
        return
    heads = "".join(f'<th scope="col">{html_text(column.name)}</th>' for column in kernels)
    parts = [f'<thead><tr><th scope="col">Clause</th>{heads}</tr></thead>']
    for chapter, members in groupby(known, key=lambda each: each.chapter):
        head = f'<th scope="rowgroup" colspan="{len(kernels) + 1}">{html_text(chapter)}</th>'
        parts.append(f"<tbody><tr>{head}</tr>{''.join(_row(each, kernels) for each in members)}</tbody>")
    caption = "What the tests of each clause say, and how many of those that apply passed."
    yield legend()
    yield table(caption, "".join(parts), "matrix")


def _row(sentence: Clause, kernels: tuple[Column, ...]) -> str:
    cells = "".join(cell(sentence.id, column) for column in kernels)
    head = f'<span class="id">{html_text(sentence.id)}</span> {html_text(sentence.text)}'
    return f'<tr><th scope="row">{head}</th>{cells}</tr>'


def cell(clause: str, column: Column) -> str:
    """What a clause's tests on a subject say together."""
    state, counts = summary(column.of_clause(clause))
    told = ", ".join(f"{counts[each]} {WORDS[each]}" for each in WORDS if each and counts[each]) or "no test was run"
    applied = sum(counts.values()) - counts[NOT_APPLICABLE]
    shown = f"{SIGNS[state]} {counts[PASSED]}/{applied}" if applied else SIGNS[state]
    label = html_text(f"{clause} on {column.name}: {told}")
    if state is None:
        return f'<td class="state {style_of(state)}"><span role="img" aria-label="{label}">{shown}</span></td>'
    link = f'<a href="#{place(clause, column)}" aria-label="{label}" title="{label}">{shown}</a>'
    return f'<td class="state {style_of(state)}">{link}</td>'


def migrations(columns: tuple[Column, ...]) -> Iterator[str]:
    """From each kernel (row) to each (column)."""
    ways = {column.way: column for column in columns if column.way is not None}
    if not ways:
        yield "<p>No VM migrated: that takes several kernels in one run.</p>"
        return
    names = list(dict.fromkeys(name for way in ways for name in way))
    heads = "".join(f'<th scope="col">to {html_text(name)}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">from {html_text(source)}</th>'
        f"{''.join(_way(ways.get((source, target))) for target in names)}</tr>"
        for source in names
    )
    caption = "Whether each register is taken or refused as the contract says when a VM migrates, and what comes of it."
    yield table(caption, f'<thead><tr><th scope="col">VM</th>{heads}</tr></thead><tbody>{rows}</tbody>', "matrix")


def _way(column: Column | None) -> str:
    if column is None:
        return f'<td class="state not-run"><span role="img" aria-label="not run">{SIGNS[None]}</span></td>'
    state, counts = summary(column.results)
    applied = sum(counts.values()) - counts[NOT_APPLICABLE]
    clauses = list(dict.fromkeys(clause for result in column.results for clause in result.clauses))
    shown = f"{SIGNS[state]} {counts[PASSED]}/{applied}" if applied else SIGNS[state]
    label = html_text(f"{column.verdict.word} {column.name}: {column.verdict.counted}")
    link = f'<a href="#{place(clauses[0], column)}" aria-label="{label}">{shown}</a>' if clauses else shown
    said = html_text(column.verdict.info.environment.get("migration", ""))
    return f'<td class="{style_of(state)}"><span class="state">{link}</span> <span class="said">{said}</span></td>'
