# SPDX-License-Identifier: GPL-2.0-only
"""A comparison as text for a terminal and as an HTML page: the same changes in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from helpers.formats.html.render import render
from helpers.results.diff import CANNOT_TELL, CHANGED, SAME, LogComparison, Weight
from helpers.results.verdict import one_line

_MOST = 20
"""The most changes of one section on a terminal. The HTML page has all of them."""
_TITLE = "KVM/arm64 hypercall bitmap registers: what changed"
_MARKS = {Weight.VISIBLE: "≠", Weight.WORSE: "✗", Weight.OTHER: " "}
_KINDS = {SAME: "conformant", CHANGED: "non_conformant", CANNOT_TELL: "inconclusive"}


def text(comparison: LogComparison) -> str:
    """The comparison as lines. The conclusion is the last line."""
    return "".join(f"{indent}{one_line(line)}\n" for indent, line in _lines(comparison))


def page(comparisons: Iterable[LogComparison]) -> str:
    """All comparisons as one self-contained HTML page."""
    return render("diff.html.jinja2", title=_TITLE, comparisons=tuple(comparisons), kinds=_KINDS, marks=_MARKS)


def _lines(comparison: LogComparison) -> Iterator[tuple[str, str]]:
    """Indents and lines. A line may contain any character."""
    yield "", f"before: {comparison.before.verdict.line}"
    yield "", f"after:  {comparison.after.verdict.line}"
    for name, changes in comparison.parts.items():
        yield "", ""
        yield "", name
        for change in changes[:_MOST]:
            weight = f" ({change.weight.value})" if change.weight.value else ""
            yield f"  {_MARKS[change.weight]} ", f"{change.what}: {change.before} -> {change.after}{weight}"
        if len(changes) > _MOST:
            yield "    ", f"and {len(changes) - _MOST} more; --html writes all of them"
    yield "", ""
    yield from (("", f"unknown: {doubt}") for doubt in comparison.doubts)
    yield "", comparison.summary
