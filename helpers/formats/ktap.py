# SPDX-License-Identifier: GPL-2.0-only
"""Results as KTAP, version 1 (Documentation/dev-tools/ktap.rst): nested by subject, or flat.

A message may contain KTAP syntax: "# SKIP" would turn a failure into a skip, and kunit_parser stops at the console line
"reboot: System halted". All text from a log is therefore escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, Result
from helpers.results.rows import Section
from helpers.results.verdict import VerdictKind

_DIRECTIVES = {ERROR: "ERROR", NOT_APPLICABLE: "SKIP", NOT_MEASURED: "SKIP not measured:", KNOWN: "XFAIL"}
_SUBJECT_DIRECTIVES = {
    VerdictKind.INCONCLUSIVE: "ERROR", VerdictKind.NOT_IMPLEMENTED: "SKIP", VerdictKind.NEWER: "SKIP",
}  # fmt: skip
_MOST_LINES = 200
"""The most lines of one test's message in the report. The log has all of them."""
# kunit_parser.py stops reading at any line that contains one of these (KTAP_END).
_ENDS = re.compile("(List of all partitions|Kernel panic - not syncing|reboot): ?(?=$|VFS:|System halted)")


def ktap(sections: Sequence[Section], *, flat: bool = False) -> str:
    """The report. Flat: one list of tests, named SUBJECT/TEST; otherwise each subject is a test with subtests."""
    lines = _flat(sections) if flat else _nested(sections)
    return "".join(f"{line}\n" for line in lines)


def plain(text: str) -> str:
    """Text for any place in a KTAP line. Different texts stay different.

    Python's escapes replace backslashes, hashes, characters that are not printable, and spaces at either end.
    """
    escapes = {"#": "\\x23", "\\": "\\\\"}
    escaped = "".join(
        escapes.get(each) or (each if each.isprintable() else each.encode("unicode_escape").decode()) for each in text
    )
    escaped = _ENDS.sub(lambda match: match.group().replace(":", "\\x3a"), escaped)
    escaped = re.sub("^[- ]| $", lambda match: f"\\x{ord(match.group()):02x}", escaped)
    return escaped or "\\"


def _nested(sections: Sequence[Section]) -> Iterator[str]:
    yield from _head(len(sections))
    for number, section in enumerate(sections, 1):
        yield from (f"  {line}" for line in _head(len(section.rows)))
        for place, row in enumerate(section.rows, 1):
            yield from (f"  {line}" for line in _row(place, row.nodeid, row))
        yield _diagnostic(section.verdict.line)
        yield _subject_line(number, section)


def _flat(sections: Sequence[Section]) -> Iterator[str]:
    rows = [(section, row) for section in sections for row in section.rows]
    yield from _head(len(rows))
    for number, (section, row) in enumerate(rows, 1):
        yield from _row(number, f"{section.subject.label}/{row.nodeid}", row)
    yield from (_diagnostic(section.verdict.line) for section in sections)


def _head(count: int) -> tuple[str, str]:
    return "KTAP version 1", f"1..{count}"


def _row(number: int, name: str, row: Result) -> Iterator[str]:
    good = row.outcome not in (FAILED, ERROR)
    if not good:
        yield from _explained(row)
    yield _line(number, name, good, _DIRECTIVES.get(row.outcome, ""), row.message)


def _explained(row: Result) -> Iterator[str]:
    """The diagnostic lines above a failure or an error."""
    if row.clauses:
        yield _diagnostic(f"{', '.join(row.clauses)}: {row.requirement}")
    if row.source:
        yield _diagnostic(f"source: {row.source}")
    lines = row.message.splitlines()
    yield from (_diagnostic(line) for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield _diagnostic(f"and {len(lines) - _MOST_LINES} more lines, in the results log")


def _subject_line(number: int, section: Section) -> str:
    verdict = section.verdict
    good = verdict.kind not in (VerdictKind.NON_CONFORMANT, VerdictKind.INCONCLUSIVE)
    reason = "; ".join(verdict.reasons) or verdict.word
    return _line(number, verdict.subject.label, good, _SUBJECT_DIRECTIVES.get(verdict.kind, ""), reason)


def _line(number: int, name: str, good: bool, directive: str, reason: str) -> str:
    line = f"{'ok' if good else 'not ok'} {number} {plain(name)}"
    first = reason.strip().partition("\n")[0].strip()
    if not directive:
        return line
    return f"{line} # {directive}{f' {plain(first)}' if first else ''}"


def _diagnostic(text: str) -> str:
    # With the bar, a line "Subtest: x" is not read as a header.
    return f"# | {plain(text)}"
