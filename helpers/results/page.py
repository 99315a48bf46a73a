# SPDX-License-Identifier: GPL-2.0-only
"""The report's chapters as plain HTML without a script: matrix, failures, differences, tests, environment.

A content policy that forbids scripts (Jenkins') shows all of it. ``document`` makes a page of its own of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from helpers.results.columns import Column, differences, sentences, summary
from helpers.results.page_style import STYLE
from helpers.results.pictures import pictures
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED, Result, Sentence
from helpers.results.text import anchor, html_text
from helpers.results.verdict import Kind, Verdict, one_line

TITLE = "KVM/arm64 hypercall bitmap registers: conformance"
# Never colour alone: every state has a sign and a word.
_SIGNS = {PASSED: "✓", FAILED: "✗", ERROR: "!", KNOWN: "≈", NOT_APPLICABLE: "-", None: "·"}
_WORDS = {
    PASSED: "passed", FAILED: "failed", ERROR: "error", KNOWN: "known deviation", NOT_APPLICABLE: "not applicable",
    None: "not run",
}  # fmt: skip


def document(columns: tuple[Column, ...]) -> str:
    """A whole page."""
    body = "\n".join([*banner(column.verdict for column in columns), *chapters(columns)])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html_text(TITLE)}</title>\n'
        f"{STYLE}</head>\n<body>\n<main>\n<h1>{html_text(TITLE)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def banner(verdicts: Iterable[Verdict], more: Mapping[str, str] | None = None) -> list[str]:
    """A coloured box for each subject, and where to read on; ``more`` names places of the page, by their ids."""
    places = {**{name: _chapter_id(name) for name in _CHAPTERS}, **(more or {})}
    links = "".join(f'<li><a href="#{place}">{name}</a></li>' for name, place in places.items())
    return [*(_box(each) for each in verdicts), f'<nav aria-label="Chapters"><ul>{links}</ul></nav>']


def chapters(columns: tuple[Column, ...]) -> list[str]:
    """Everything below the banner."""
    parts = []
    for name, make in _CHAPTERS.items():
        content = "".join(make(columns)) or "<p>None.</p>"
        parts.append(f'<section class="chapter" id="{_chapter_id(name)}"><h2>{name}</h2>{content}</section>')
    return parts


def _chapter_id(name: str) -> str:
    return anchor(f"chapter {name}")


def _box(verdict: Verdict) -> str:
    parts = [f"<h2>{html_text(verdict.title)}</h2>", f"<p>{html_text(verdict.counted)}</p>"]
    known = [f"{each.name} ({each.clause}): {each.reason} {each.link}" for each in verdict.known]
    parts.append(_list("Known deviations", known))
    if verdict.broken:
        parts.append(f"<p>Broken clauses: {html_text(', '.join(verdict.broken))}</p>")
    if verdict.kind is Kind.INCONCLUSIVE:
        parts.append(_list("Why nothing can be concluded", verdict.reasons))
    errors = [f"{result.nodeid}: {result.message.strip().partition(chr(10))[0]}" for result in verdict.errors]
    parts += [_list("Errors", errors), _list("Not run", verdict.not_run)]
    return f'<div class="verdict {verdict.kind.name.lower()}" role="status">{"".join(parts)}</div>'


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{html_text(one_line(line))}</li>" for line in lines)
    return f"<p>{html_text(title)}:</p><ul>{items}</ul>" if items else ""


# --- the matrix -----------------------------------------------------------------


def _matrix(columns: tuple[Column, ...]) -> Iterator[str]:
    known = sentences(columns)
    if not known:
        return
    heads = "".join(f'<th scope="col">{html_text(column.name)}</th>' for column in columns)
    yield '<div class="wide"><table class="matrix"><caption>Each clause on each subject: what its tests say, and'
    yield f' how many passed of those that apply.</caption><thead><tr><th scope="col">Clause</th>{heads}</tr></thead>'
    for chapter, members in groupby(known, key=lambda each: each.chapter):
        yield f'<tbody><tr><th scope="rowgroup" colspan="{len(columns) + 1}">{html_text(chapter)}</th></tr>'
        yield from (_row(each, columns) for each in members)
        yield "</tbody>"
    yield "</table></div>" + _legend()


def _row(sentence: Sentence, columns: tuple[Column, ...]) -> str:
    cells = "".join(_cell(sentence, column, index) for index, column in enumerate(columns))
    head = f'<span class="id">{html_text(sentence.id)}</span> {html_text(sentence.text)}'
    return f'<tr><th scope="row">{head}</th>{cells}</tr>'


def _cell(sentence: Sentence, column: Column, index: int) -> str:
    state, counts = summary(column.of_clause(sentence.id))
    told = ", ".join(f"{counts[each]} {_WORDS[each]}" for each in _WORDS if each and counts[each]) or "no test was run"
    applied = sum(counts.values()) - counts[NOT_APPLICABLE]
    shown = f"{_SIGNS[state]} {counts[PASSED]}/{applied}" if applied else _SIGNS[state]
    label = html_text(f"{sentence.id} on {column.name}: {told}")
    link = f'<a href="#{_place(sentence.id, index)}" aria-label="{label}" title="{label}">{shown}</a>'
    return f'<td class="state {_class(state)}">{link if state else shown}</td>'


def _legend() -> str:
    items = "".join(f'<li><span class="state {_class(s)}">{sign}</span> {_WORDS[s]}</li>' for s, sign in _SIGNS.items())
    return f'<ul class="legend" aria-label="Signs">{items}</ul>'


def _class(state: str | None) -> str:
    return state or "not-run"


def _place(clause: str, index: int) -> str:
    return anchor(f"tests {clause} {index}")


# --- failures --------------------------------------------------------------------


def _failures(columns: tuple[Column, ...]) -> Iterator[str]:
    for column in columns:
        for outcome in (FAILED, ERROR, KNOWN):
            for result in column.results:
                if result.outcome == outcome:
                    yield _failure(column, result)


def _failure(column: Column, result: Result) -> str:
    rows = {
        "Clauses": ", ".join(result.clauses),
        "Requirement": result.requirement,
        "Source": result.source,
        "Again": _command(column, result),
    }
    shown = "".join(f"<dt>{name}</dt><dd>{html_text(text)}</dd>" for name, text in rows.items() if text)
    title = f"{_SIGNS[result.outcome]} {_WORDS[result.outcome]}: {result.nodeid} on {column.name}"
    return (
        f'<article class="finding {_class(result.outcome)}"><h3>{html_text(title)}</h3><dl>{shown}</dl>'
        f'<pre tabindex="0">{html_text(result.message)}</pre></article>'
    )


def _command(column: Column, result: Result) -> str:
    """With the run's own options: ids of tests depend on how many subjects there are."""
    options = " ".join(shlex.quote(each) for each in column.log.session.argv if each.startswith("--"))
    return f"pytest {options} {shlex.quote(result.nodeid)}"


# --- differences, tests, environment ----------------------------------------------


def _differences(columns: tuple[Column, ...]) -> Iterator[str]:
    found = differences(columns)
    if not found:
        return
    yield '<div class="wide"><table><caption>Two readings of the contract. The checks follow the one that user space'
    yield ' relies on.</caption><thead><tr>'
    yield from (f'<th scope="col">{name}</th>' for name in ("Difference", "Documents", "Code", "The checks follow"))
    yield "</tr></thead><tbody>"
    for each in found:
        head = f'<span class="id">{html_text(each.id)}</span> {html_text(each.clauses)}'
        cells = "".join(f"<td>{html_text(text)}</td>" for text in (each.documents, each.code, each.followed))
        yield f'<tr><th scope="row">{head}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _tests(columns: tuple[Column, ...]) -> Iterator[str]:
    for sentence in sentences(columns):
        shown = "".join(_of_column(sentence, column, index) for index, column in enumerate(columns))
        if shown:
            yield f'<details><summary><span class="id">{html_text(sentence.id)}</span> {html_text(sentence.text)}'
            yield f'</summary><p class="source">{html_text(sentence.source)} {html_text(sentence.standing)}</p>'
            yield f"{shown}</details>"


def _of_column(sentence: Sentence, column: Column, index: int) -> str:
    results = sorted(column.of_clause(sentence.id), key=lambda each: _ORDER.index(each.outcome))
    if not results:
        return ""
    items = "".join(f'<li class="{_class(each.outcome)}">{_told(each)}</li>' for each in results)
    return f'<h3 id="{_place(sentence.id, index)}">{html_text(column.name)}</h3><ul class="tests">{items}</ul>'


_ORDER = (FAILED, ERROR, KNOWN, NOT_APPLICABLE, PASSED)


def _told(result: Result) -> str:
    because = f": {one_line(result.message)}" if result.outcome == NOT_APPLICABLE else ""
    state = f"{_SIGNS[result.outcome]} {_WORDS[result.outcome]}"
    return f"{state} <code>{html_text(result.nodeid)}</code>{html_text(because)}"


def _environment(columns: tuple[Column, ...]) -> Iterator[str]:
    for column in columns:
        info = column.verdict.info
        values = {"subject": column.name, "dialect": info.dialect, **info.environment}
        rows = "".join(
            f'<tr><th scope="row">{html_text(name)}</th><td>{html_text(text)}</td></tr>'
            for name, text in {**values, "arguments": " ".join(column.log.session.argv)}.items()
            if text
        )
        yield f'<div class="wide"><table class="environment"><caption>{html_text(column.name)}</caption>'
        yield f"{rows}</table></div>"


_CHAPTERS = {
    "Failures": _failures,
    "Conformance matrix": _matrix,
    "Registers": pictures,
    "Documents and code": _differences,
    "Tests by clause": _tests,
    "Environment": _environment,
}
