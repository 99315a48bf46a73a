# SPDX-License-Identifier: GPL-2.0-only
"""The report's chapters as plain HTML without a script: a content policy that forbids those (Jenkins') shows all of it.

``document`` makes a page of its own of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from helpers.formats.html.findings import finding_place, findings
from helpers.formats.html.matrix import matrix, migrations, place
from helpers.formats.html.registers import pictures
from helpers.formats.html.services import services_chapter
from helpers.formats.html.signs import SIGNS, WORDS, WORST_FIRST, style_of
from helpers.formats.html.style import STYLE
from helpers.formats.html.tables import facts, table
from helpers.formats.html.text import anchor, html_text
from helpers.results.columns import Column, differences, sentences
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, Clause, Result
from helpers.results.verdict import Verdict, VerdictKind, one_line

TITLE = "KVM/arm64 hypercall bitmap registers: conformance"
PROOF = "proof.html"
"""The page of faults.prove, where it lies beside the report."""
PROOF_NAME = "Proof that the checks can fail"
_KIND_SIGNS = {
    VerdictKind.CONFORMANT: "✓",
    VerdictKind.NON_CONFORMANT: "✗",
    VerdictKind.INCONCLUSIVE: "?",
    VerdictKind.NOT_IMPLEMENTED: "-",
}


def document(columns: tuple[Column, ...], proof: bool = False) -> str:
    """A whole page; ``proof`` says that PROOF lies beside it."""
    more = {PROOF: PROOF_NAME} if proof else {}
    body = "\n".join([*banner(columns, more), *chapters(columns)])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html_text(TITLE)}</title>\n'
        f'{STYLE}</head>\n<body>\n<a class="skip" href="#verdicts">Skip to the verdicts</a>\n'
        f"<header><h1>{html_text(TITLE)}</h1></header>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def banner(columns: tuple[Column, ...], more: Mapping[str, str] | None = None) -> list[str]:
    """A box for each kernel, one for all ways between them, and where to read on (``more``: addresses and names)."""
    kernels = [column.verdict for column in columns if column.way is None]
    ways = [column.verdict for column in columns if column.way is not None]
    boxes = [*map(_box, kernels), *([_ways(ways)] if ways else [])]
    links = {**{f"#{_chapter_id(name)}": name for name in _CHAPTERS}, **(more or {})}
    items = "".join(f'<li><a href="{html_text(to)}">{html_text(name)}</a></li>' for to, name in links.items())
    return [
        f'<section id="verdicts" aria-label="Verdicts">{"".join(boxes)}</section>',
        f'<nav aria-label="Chapters"><ul>{items}</ul></nav>',
    ]


def chapters(columns: tuple[Column, ...]) -> list[str]:
    """Everything below the banner."""
    parts = []
    for name, make in _CHAPTERS.items():
        content = "".join(make(columns)) or "<p>None.</p>"
        head = f'<h2 id="{_chapter_id(name)}">{name}</h2>'
        parts.append(f'<section class="chapter" aria-labelledby="{_chapter_id(name)}">{head}{content}</section>')
    return parts


def _chapter_id(name: str) -> str:
    return anchor(f"chapter {name}")


# --- verdicts -------------------------------------------------------------------


def _box(verdict: Verdict) -> str:
    parts = [f"<h2>{_KIND_SIGNS[verdict.kind]} {html_text(verdict.title)}</h2>", f"<p>{html_text(verdict.counted)}</p>"]
    known = [f"{each.name} ({each.clause}): {each.reason} {each.link}" for each in verdict.known]
    parts.append(_list("Known deviations", known))
    if verdict.broken:
        parts.append(f"<p>Broken clauses: {html_text(', '.join(verdict.broken))}</p>")
    if verdict.kind is VerdictKind.INCONCLUSIVE:
        parts.append(_list("Why nothing can be concluded", verdict.reasons))
    errors = [f"{result.nodeid}: {result.message.strip().partition(chr(10))[0]}" for result in verdict.errors]
    parts += [_list("Errors", errors), _list("Not run", verdict.not_run)]
    return f'<div class="verdict {verdict.kind.name.lower()}">{"".join(parts)}</div>'


def _ways(verdicts: list[Verdict]) -> str:
    """Migrations in one box, in the colour of the worst; those that are not conformant by name."""
    good = [each for each in verdicts if each.kind is VerdictKind.CONFORMANT]
    bad = [each.line for each in verdicts if each.kind is not VerdictKind.CONFORMANT]
    worst = min((each.kind for each in verdicts), key=_GRAVITY.index)
    title = f"{_KIND_SIGNS[worst]} Migration: {len(good)} of {len(verdicts)} ways between these kernels conformant"
    more = f'<p><a href="#{_chapter_id(_MIGRATION)}">From which to which, and what comes through</a></p>'
    return f'<div class="verdict {worst.name.lower()}"><h2>{html_text(title)}</h2>{_list("Others", bad)}{more}</div>'


_GRAVITY = (VerdictKind.NON_CONFORMANT, VerdictKind.INCONCLUSIVE, VerdictKind.NOT_IMPLEMENTED, VerdictKind.CONFORMANT)
_MOST_ITEMS = 20


def _list(title: str, lines: Iterable[str]) -> str:
    """Long lists fold, so that what follows is still in sight."""
    items = [f"<li>{html_text(one_line(line))}</li>" for line in lines]
    if not items:
        return ""
    if len(items) <= _MOST_ITEMS:
        return f"<p>{html_text(title)}:</p><ul>{''.join(items)}</ul>"
    return f"<details><summary>{html_text(title)}: {len(items)}</summary><ul>{''.join(items)}</ul></details>"


# --- differences, tests, environment ----------------------------------------------


def _differences(columns: tuple[Column, ...]) -> Iterator[str]:
    found = differences(columns)
    if not found:
        return
    names = ("Difference", "Documents", "Code", "The checks follow")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for each in found:
        clauses = html_text(", ".join(each.clauses))
        head = f'<span class="id">{html_text(each.id)}</span> {clauses}'
        cells = "".join(f"<td>{html_text(text)}</td>" for text in (each.documents, each.code, each.followed))
        rows.append(f'<tr><th scope="row">{head}</th>{cells}</tr>')
    caption = "Two readings of the contract. The checks follow the one that user space relies on."
    yield table(caption, f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>", "differences")


def _tests(columns: tuple[Column, ...]) -> Iterator[str]:
    for sentence in sentences(columns):
        shown = "".join(_of_column(sentence, column) for column in columns)
        if shown:
            yield f'<details><summary><span class="id">{html_text(sentence.id)}</span> {html_text(sentence.text)}'
            yield f'</summary><p class="source">{html_text(sentence.source)} {html_text(sentence.standing)}</p>'
            yield f"{shown}</details>"


def _of_column(sentence: Clause, column: Column) -> str:
    results = sorted(column.of_clause(sentence.id), key=lambda each: WORST_FIRST.index(each.outcome))
    if not results:
        return ""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for each in results:
        # Those with a finding of their own stay apart, and lead to it.
        alone = each.nodeid if each.outcome in (FAILED, ERROR, KNOWN) else each.nodeid.partition("[")[0]
        groups.setdefault((each.outcome, alone, _because(each)), []).append(each)
    items = "".join(f'<li class="{style_of(state)}">{_told(same, column)}</li>' for (state, *_), same in groups.items())
    return f'<h3 id="{place(sentence.id, column)}">{html_text(column.name)}</h3><ul class="tests">{items}</ul>'


def _because(result: Result) -> str:
    return one_line(result.message) if result.outcome == NOT_APPLICABLE else ""


def _told(same: list[Result], column: Column) -> str:
    """A test, or all parameters for which one came out the same."""
    first = same[0]
    state = f"{SIGNS[first.outcome]} {WORDS[first.outcome]}"
    if first.outcome in (FAILED, ERROR, KNOWN):
        return f'<a href="#{finding_place(first, column)}">{state}</a> <code>{html_text(first.nodeid)}</code>'
    because = f": {_because(first)}" if _because(first) else ""
    name = first.nodeid.partition("[")[0]
    each = [parameters(result, column.name) for result in same]
    if not any(each):
        return f"{state} <code>{html_text(name)}</code>{html_text(because)}"
    shown = " ".join(f"<code>{html_text(one)}</code>" for one in each)
    return f"{state} {len(same)} of <code>{html_text(name)}</code>{html_text(because)}<div>{shown}</div>"


def parameters(result: Result, subject: str) -> str:
    """A test's parameters, without the subject, under whose name they stand."""
    words = result.nodeid.partition("[")[2].removesuffix("]")
    return "" if words == subject else words.removeprefix(f"{subject}-").replace(f"-{subject}-", "-")


def _environment(columns: tuple[Column, ...]) -> Iterator[str]:
    kernels = [column for column in columns if column.way is None]
    told = [
        (column.name, {"dialect": column.verdict.info.dialect, **column.verdict.info.environment}) for column in kernels
    ]
    yield facts("The kernels, as they tell of themselves", told, "Fact")
    for log in {id(column.log): column.log for column in columns}.values():
        argv = [word for word in log.session.argv if not word.startswith("--reports")]
        arguments = {"arguments": " ".join(argv)}
        yield facts("The suite and what it ran on", [("", {**log.session.environment, **arguments})])


_MIGRATION = "Migration"
_CHAPTERS = {
    "Failures": findings,
    "Conformance matrix": matrix,
    _MIGRATION: migrations,
    "Registers": pictures,
    "Services": services_chapter,
    "Documents and code": _differences,
    "Tests by clause": _tests,
    "Environment": _environment,
}
