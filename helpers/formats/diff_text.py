# SPDX-License-Identifier: GPL-2.0-only
"""A comparison for a terminal and as a page of its own: the same changes, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from helpers.formats.html.style import STYLE
from helpers.formats.html.text import html_text
from helpers.results.diff import CANNOT_TELL, CHANGED, SAME, Change, LogComparison, Weight
from helpers.results.verdict import one_line

_MOST = 20
"""Changes of a kind on a terminal; the page has them all."""
_TITLE = "KVM/arm64 hypercall bitmap registers: what changed"
_MARKS = {Weight.VISIBLE: "≠", Weight.WORSE: "✗", Weight.OTHER: " "}
_BOXES = {SAME: "conformant", CHANGED: "non_conformant", CANNOT_TELL: "inconclusive"}


def text(comparison: LogComparison) -> str:
    """The comparison as lines, the conclusion last."""
    return "".join(f"{indent}{one_line(line)}\n" for indent, line in _lines(comparison))


def page(comparisons: Iterable[LogComparison]) -> str:
    """All comparisons as one HTML page, which asks nothing of any other place."""
    body = "".join(map(_section, comparisons))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html_text(_TITLE)}</title>\n'
        f"{STYLE}</head>\n<body>\n<main>\n<h1>{html_text(_TITLE)}</h1>\n{body}</main>\n</body>\n</html>\n"
    )


def _lines(comparison: LogComparison) -> Iterator[tuple[str, str]]:
    """Indents and lines; what stands in a log may hold any character."""
    yield "", f"before: {comparison.before.verdict.line}"
    yield "", f"after:  {comparison.after.verdict.line}"
    for name, changes in comparison.parts.items():
        yield "", ""
        yield "", name
        yield from ((f"  {_MARKS[change.weight]} ", _told(change)) for change in changes[:_MOST])
        if len(changes) > _MOST:
            yield "    ", f"and {len(changes) - _MOST} more, which --html shows"
    yield "", ""
    yield from (("", f"not known: {doubt}") for doubt in comparison.doubts)
    yield "", comparison.summary


def _told(change: Change) -> str:
    told = f"{change.what}: {change.before} -> {change.after}"
    return f"{told} ({change.weight.value})" if change.weight.value else told


def _section(comparison: LogComparison) -> str:
    names = f"{comparison.before.name} → {comparison.after.name}"
    verdicts = "".join(
        f"<p>{side}: {html_text(column.verdict.line)}</p>"
        for side, column in (("Before", comparison.before), ("After", comparison.after))
    )
    doubts = "".join(f"<li>{html_text(one_line(doubt))}</li>" for doubt in comparison.doubts)
    told = f"<p>Not known:</p><ul>{doubts}</ul>" if doubts else ""
    tables = "".join(_table(name, changes) for name, changes in comparison.parts.items())
    return (
        f'<div class="verdict {_BOXES[comparison.status]}" role="status"><h2>{html_text(names)}</h2>'
        f"<p>{html_text(one_line(comparison.summary))}</p>{verdicts}{told}</div>\n{tables}"
    )


def _table(name: str, changes: Iterable[Change]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("What", "Before", "After", "Means"))
    rows = "".join(map(_row, changes))
    return (
        f'<section class="chapter"><h2>{html_text(name)}</h2><div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>\n"
    )


def _row(change: Change) -> str:
    style = ' class="failed"' if change.weight is not Weight.OTHER else ""
    means = html_text(f"{_MARKS[change.weight]} {change.weight.value}".strip())
    cells = "".join(f"<td>{html_text(each)}</td>" for each in (change.before, change.after))
    return f'<tr><th scope="row">{html_text(change.what)}</th>{cells}<td{style}>{means}</td></tr>\n'
