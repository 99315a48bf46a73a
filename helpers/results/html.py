# SPDX-License-Identifier: GPL-2.0-only
"""The HTML report: pytest-html with the verdict above and the requirement in every row.

pytest-html makes one row for each node id and none for a test whose process died: the banner, which
comes from the results log, lists those.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.results import page
from helpers.results.columns import Column
from helpers.results.page_style import STYLE
from helpers.results.phases import message_of, outcome_of, properties
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED
from helpers.results.selection import only_shows, touches_suites
from helpers.results.text import html_text

_ORDER = ("Failed", "Error", "XFailed", "Skipped", "Passed")
_CAPITALS = {"xfailed": "XFailed", "xpassed": "XPassed"}
_OURS = pytest.StashKey[bool]()
# pytest-html sorts and filters by its own words; another word for "Skipped" is only shown, never stored.
_STYLE = """<style>
body { display: flex; flex-direction: column; }
#environment-header, #environment { order: 1; align-self: flex-start; margin-top: 16px; }
.filters input[disabled], .filters input[disabled] + span { display: none; }
#results-table, .filters span { color: var(--ink) !important; }
.logwrapper .log { background: var(--soft); color: var(--ink); }
button { background: var(--soft); }
#results-table td { vertical-align: top; }
.run-count { display: none; }
.col-requirement .clauses { font-weight: bold; }
.col-requirement .source { color: var(--quiet); }
.col-finding { white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace; }
.logwrapper:not(:has(.log)) { display: none; }
.col-testId { overflow-wrap: anywhere; }
.skipped td.col-result, span.skipped { color: var(--quiet); }
.skipped td.col-result, .xfailed td.col-result { font-size: 0; }
.xfailed td.col-result::before { content: "Known deviation"; font-size: 12px; }
.skipped td.col-result::before { content: "Not applicable"; font-size: 12px; }
</style>"""


def prepare_html(config: pytest.Config, reports_dir: Path) -> None:
    """Turn pytest-html on, self-contained, before it is configured; a person's own --html wins."""
    option = config.option
    if not hasattr(option, "htmlpath") or option.htmlpath or hasattr(config, "workerinput"):
        return
    if only_shows(config) or not touches_suites(config) or not _writable(reports_dir):
        return
    option.htmlpath = str(reports_dir / "report.html")
    option.self_contained_html = True
    config.stash[_OURS] = True


def discard(config: pytest.Config) -> None:
    """Write no report after all, because no suite is run."""
    if config.stash.get(_OURS, False):
        report = _plugin(config)
        if report is not None:
            config.pluginmanager.unregister(report)


def set_title(report: Any) -> None:
    """The report's title."""
    report.title = page.TITLE


def table_header(cells: list[str]) -> None:
    """The columns; links are left out, because there are none."""
    cells[:] = [
        '<th class="sortable" data-column-type="result">Result</th>',
        '<th class="sortable" data-column-type="requirement">Requirement</th>',
        "<th>Finding</th>",
        '<th class="sortable" data-column-type="testId">Test</th>',
        '<th class="sortable" data-column-type="duration">Duration</th>',
    ]


def table_row(report: Any, cells: list[str]) -> None:
    """A row's cells. Each stays on one line of the source, or pytest-html could not sort by it."""
    test = report.nodeid if report.when in ("call", "collect") else f"{report.nodeid}::{report.when}"
    cells[:] = [
        f'<td class="col-result">{row_word(report)}</td>',
        f'<td class="col-requirement">{_requirement(report)}</td>',
        f'<td class="col-finding">{html_text(_finding(report))}</td>',
        f'<td class="col-testId">{html_text(test)}</td>',
        cells[2],
    ]


def row_details(report: Any, log: list[str]) -> None:
    """What opens below a row: nothing where the finding already says it all, so that no empty box is shown."""
    if row_word(report) in ("Passed", "Skipped") and not report.sections:
        log.clear()


def row_word(report: Any) -> str:
    """The result in pytest-html's own words, by which it sorts: Error, Failed, XFailed, Skipped, Passed."""
    if isinstance(report, pytest.CollectReport):
        return "Error"
    words = {FAILED: "Failed", ERROR: "Error", KNOWN: "XFailed", NOT_APPLICABLE: "Skipped", PASSED: "Passed"}
    return words[outcome_of(report)]


def arrange(config: pytest.Config) -> None:
    """Failures first, and filters that count what the rows say (a harness error in a call is no failure)."""
    data = getattr(_plugin(config), "_report", None)
    if data is None:
        return
    tests = data.data["tests"]
    words = [row.get("result") for rows in tests.values() for row in rows]
    for name, values in data.outcomes.items():
        values["value"] = words.count(_CAPITALS.get(name, name.capitalize()))
    data.outcomes["skipped"]["label"] = "Not applicable"
    data.outcomes["xfailed"]["label"] = "Known deviations"
    # pytest-html's own order begins with errors, which say nothing about the kernel.
    data.data["tests"] = dict(sorted(tests.items(), key=lambda pair: _rank(pair[1])))
    data.data["initialSort"] = "original"
    data.data["renderCollapsed"] = ["passed", "skipped", "xfailed"]


def _rank(rows: list[dict[str, Any]]) -> int:
    known = [_ORDER.index(row["result"]) for row in rows if row.get("result") in _ORDER]
    return min(known, default=len(_ORDER))


def banner(columns: tuple[Column, ...]) -> list[str]:
    """The style sheets, a box for each subject, and every chapter that needs no script."""
    verdicts = [column.verdict for column in columns]
    table = '<h2 id="all-results">All results</h2>'
    return [STYLE, _STYLE, *page.banner(verdicts, {"All results": "all-results"}), *page.chapters(columns), table]


def _requirement(report: Any) -> str:
    if isinstance(report, pytest.CollectReport):
        return "The tests of this file could not be collected."
    found = properties(report)
    clauses = ", ".join(str(clause) for clause in found.get("clauses") or ())
    return (
        f'<div class="clauses">{html_text(clauses)}</div>'
        f"<div>{html_text(str(found.get('requirement') or ''))}</div>"
        f'<div class="source">{html_text(str(found.get("source") or ""))}</div>'
    )


def _finding(report: Any) -> str:
    if report.passed and row_word(report) == "Passed":
        return ""
    return message_of(report)


def _writable(folder: Path) -> bool:
    """False where pytest-html would end the run with a traceback; the recorder says it in words."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("x")
        probe.unlink()
    except OSError:
        return False
    return True


def _plugin(config: pytest.Config) -> Any:
    """pytest-html's report object, which it registers without a name of its own."""
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__module__.startswith("pytest_html."):
            return plugin
    return None
