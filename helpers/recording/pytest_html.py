# SPDX-License-Identifier: GPL-2.0-only
"""The HTML report: pytest-html's page with our chapters above its table, through its documented hooks and options.

pytest-html counts outcomes as pytest does. Its table has one row for each node id, and no row for a test whose process
died. Counts and complete lists are therefore in our chapters, which are computed from the results log, and our style
sheet hides pytest-html's filters. The result of a row must be one of pytest-html's words, because its script drops
other rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.formats.html.render import TEMPLATES, render
from helpers.recording.phases import message_of, outcome_of, properties
from helpers.recording.selection import only_shows, touches_suites
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED

_REPORT = pytest.StashKey[Path]()
MOST_ROWS = 500
"""With more tests, the table omits good results, because pytest-html's script is slow with thousands of rows."""
_WORDS = {
    FAILED: "Failed",
    ERROR: "Error",
    KNOWN: "XFailed",
    NOT_APPLICABLE: "Skipped",
    NOT_MEASURED: "XPassed",
    PASSED: "Passed",
}
"""Outcomes in pytest-html's words. The style sheet replaces Skipped, XFailed and XPassed by other words."""
_GOOD = ("Passed", "Skipped")


def prepare_html(config: pytest.Config, reports_dir: Path) -> None:
    """Set pytest-html's options before it reads them. An --html option of the user takes precedence."""
    option = config.option
    if not hasattr(option, "htmlpath") or hasattr(config, "workerinput"):
        return
    option.css = [*(str(TEMPLATES / name) for name in ("page.css", "pytest_html.css")), *option.css]
    if option.htmlpath or only_shows(config) or not touches_suites(config) or not _writable(reports_dir):
        return
    config.stash[_REPORT] = reports_dir / "report.html"
    option.htmlpath = str(config.stash[_REPORT])
    option.self_contained_html = True


def is_on(config: pytest.Config) -> bool:
    """Whether ``prepare_html`` makes pytest-html write a report."""
    return _REPORT in config.stash


@contextmanager
def without_report(config: pytest.Config) -> Iterator[None]:
    """Keep the existing report.html. pytest-html writes one at the end of every session."""
    if not is_on(config):
        yield
        return
    path = config.stash[_REPORT]
    earlier = path.with_suffix(".earlier")
    if path.exists():
        path.replace(earlier)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if earlier.exists():
            earlier.replace(path)


def table_row(report: Any, cells: list[str], *, shortened: bool) -> None:
    """Fill in the cells of a row. A good result has no row in a ``shortened`` table."""
    word = _row_word(report)
    collected = isinstance(report, pytest.CollectReport)
    # pytest-html asks for cells of a passed set-up or end, but shows only what they printed, in the row of the test.
    without_row = word == "Passed" and not collected and report.when != "call" and not report.sections
    if without_row or (shortened and word in _GOOD):
        cells.clear()
        return
    test = report.nodeid if collected or report.when == "call" else f"{report.nodeid}::{report.when}"
    values = {"requirement": "The tests of this file could not be collected."} if collected else properties(report)
    finding = "" if word == "Passed" else message_of(report)
    row = render("pytest_html_row.html.jinja2", word=word, values=values, finding=finding, test=test)
    cells[:] = [*row.splitlines(), cells[2]]


def row_details(report: Any, log: list[str]) -> None:
    """Remove the text below a row if its cells contain the same text."""
    if _row_word(report) in (*_GOOD, "XFailed", "XPassed") and not report.sections:
        log.clear()


def _row_word(report: Any) -> str:
    """The result of a test's phase in pytest-html's words."""
    return "Error" if isinstance(report, pytest.CollectReport) else _WORDS[outcome_of(report)]


def _writable(folder: Path) -> bool:
    """Whether files can be created in the folder. pytest-html would raise otherwise; the recorder reports the error."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("x")
        probe.unlink()
    except OSError:
        return False
    return True
