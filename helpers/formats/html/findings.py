# SPDX-License-Identifier: GPL-2.0-only
"""What went wrong, each with the requirement, what was expected and what came, and the calls that led there."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from helpers.formats.html.signs import SIGNS, WORDS, style_of
from helpers.formats.html.text import html_text
from helpers.results.columns import Column
from helpers.results.records import ERROR, FAILED, KNOWN, Result

MOST_IN_FULL = 100
"""A kernel that does nothing right fails thousands of tests for one reason: nobody reads them all."""
_LONG = 30
"""Lines of a message that are shown at once; a model's failure brings its reproducer along."""


def finding_place(result: Result, column: Column) -> str:
    """The id of a finding."""
    return f"finding-{column.place}-{column.number(result)}"


def findings(columns: tuple[Column, ...]) -> Iterator[str]:
    """Failures, then errors, then known deviations, of each subject."""
    found = [(column, result) for kind in (FAILED, ERROR, KNOWN) for column in columns for result in column.results
             if result.outcome == kind]  # fmt: skip
    if not found:
        return
    yield f"<p>{html_text(_counted([result for _, result in found]))}</p>"
    for column, result in found[:MOST_IN_FULL]:
        yield _finding(column, result)
    rest = found[MOST_IN_FULL:]
    if rest:
        yield f"<p>{len(rest)} more, in one line each; the results log holds all that is known of them:</p><ul>"
        yield from (_brief(column, result) for column, result in rest)
        yield "</ul>"


def _counted(results: list[Result]) -> str:
    counts = Counter(clause for result in results for clause in result.clauses)
    shown = ", ".join(f"{clause} {count}" for clause, count in counts.most_common())
    return f"{len(results)} in all. By clause: {shown}." if shown else f"{len(results)} in all."


def _finding(column: Column, result: Result) -> str:
    rows = {
        "Clause": html_text(", ".join(result.clauses)),
        "Requirement": html_text(result.requirement),
        "Source": html_text(result.source),
        "Test": f"<code>{html_text(result.nodeid)}</code>",
        "Again": f"<code>{html_text(_command(column, result))}</code>",
    }
    shown = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items() if text)
    title = f"{SIGNS[result.outcome]} {WORDS[result.outcome]}: {_short(result)} on {column.name}"
    return (
        f'<article class="finding {style_of(result.outcome)}" id="{finding_place(result, column)}">'
        f"<h3>{html_text(title)}</h3>{_message(result.message)}<dl>{shown}</dl>{_calls(result.calls)}</article>"
    )


def _short(result: Result) -> str:
    clauses = ", ".join(result.clauses)
    test = result.nodeid.rpartition("/")[2]
    return f"{clauses}, {test}" if clauses else test


def _message(message: str) -> str:
    lines = message.rstrip("\n").split("\n")
    if len(lines) <= _LONG:
        return _block(message)
    rest = "\n".join(lines[_LONG:])
    more = f"<details><summary>{len(lines) - _LONG} more lines</summary>{_block(rest)}</details>"
    return _block("\n".join(lines[:_LONG])) + more


def _calls(calls: str) -> str:
    if not calls:
        return ""
    count = len(calls.split("\n"))
    return f"<details><summary>The system calls that led there ({count} lines)</summary>{_block(calls)}</details>"


def _block(text: str) -> str:
    return f'<pre tabindex="0">{html_text(text)}</pre>'


def _brief(column: Column, result: Result) -> str:
    title = f"{SIGNS[result.outcome]} {WORDS[result.outcome]}: {_short(result)} on {column.name}"
    place = finding_place(result, column)
    return f'<li class="{style_of(result.outcome)}" id="{place}">{html_text(title)}: {html_text(_first(result))}</li>'


def _first(result: Result) -> str:
    return result.message.strip().partition("\n")[0][:200]


def _command(column: Column, result: Result) -> str:
    """With the run's own options: ids of tests depend on how many subjects there are."""
    options = [shlex.quote(each) for each in _options(column.log.session.argv)]
    return " ".join(["pytest", *options, shlex.quote(result.nodeid)])


def _options(argv: Sequence[str]) -> Iterator[str]:
    """The long options with their values, not those that only said where the reports go."""
    for word, following in zip(argv, (*argv[1:], ""), strict=True):
        if not word.startswith("--") or word.startswith("--reports"):
            continue
        yield word
        # What stands behind an option is its value, unless it is what was to be run.
        if following and "=" not in word and not following.startswith("-") and not _is_test(following):
            yield following


def _is_test(word: str) -> bool:
    return "::" in word or word.endswith(".py") or word.partition("/")[0] == "suites"
