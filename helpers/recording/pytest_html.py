# SPDX-License-Identifier: GPL-2.0-only
"""The HTML report: pytest-html with the verdict above and the requirement in every row.

pytest-html makes one row for each node id and none for a test whose process died: the banner, which
comes from the results log, lists those.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_html
from jinja2 import Environment, FileSystemLoader, Template, select_autoescape

from helpers.formats.html import page
from helpers.formats.html.style import STYLE
from helpers.formats.html.text import html_text
from helpers.recording.phases import message_of, outcome_of, properties
from helpers.recording.selection import only_shows, touches_suites
from helpers.results.columns import Column
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED

_ORDER = ("Failed", "Error", "XFailed", "Skipped", "Passed")
_CAPITALS = {"xfailed": "XFailed", "xpassed": "XPassed"}
_OURS = pytest.StashKey[bool]()
# pytest-html sorts and filters by its own words; another word for "Skipped" is only shown, never stored.
_TEMPLATE = "report.jinja2"
MOST_ROWS = 500
"""Of more than so many rows the script shows at first only those that somebody must look at."""
_STYLE = """<style>
.controls { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin: 12px 0; }
.controls[hidden], .filters label[hidden], .hidden { display: none; }
.filters { display: flex; flex-wrap: wrap; gap: 4px 16px; border: 1px solid var(--line); padding: 4px 10px 8px; }
button { font: inherit; color: inherit; background: var(--soft); border: 1px solid var(--line); border-radius: 4px;
  padding: 3px 8px; cursor: pointer; }
th button { border: 0; background: none; padding: 0; font-weight: 600; text-align: left; }
.sortable.asc::after { content: " ▲"; } .sortable.desc::after { content: " ▼"; }
#results-table { width: 100%; font-size: 14px; }
.col-requirement { min-width: 14em; } .col-requirement .clauses { font-weight: 600; }
.col-finding { white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.45 ui-monospace, monospace; min-width: 12em; }
.col-testId { overflow-wrap: anywhere; min-width: 10em; } .col-result { white-space: nowrap; }
.results-table-row.passed, .results-table-row.failed { font-weight: normal; color: inherit; }
.passed .col-result { color: var(--pass); } .failed .col-result { color: var(--fail); font-weight: 600; }
.error .col-result { color: var(--doubt); } .xfailed .col-result { color: var(--known); }
.skipped .col-result, .skipped { color: var(--quiet); } .results-table-row.skipped { color: inherit; }
.skipped td.col-result, .xfailed td.col-result { font-size: 0; }
.xfailed td.col-result::before { content: "Known deviation"; font-size: 14px; }
.skipped td.col-result::before { content: "Not applicable"; font-size: 14px; }
.media { display: none; } .logwrapper:not(:has(.log)) { display: none; }
.log { white-space: pre-wrap; overflow-wrap: anywhere; font: 12px/1.4 ui-monospace, monospace; max-height: 30em;
  overflow: auto; background: var(--soft); padding: 6px; }
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
        _sorting("result", "Result"),
        _sorting("requirement", "Requirement"),
        '<th scope="col">Finding</th>',
        _sorting("testId", "Test"),
        _sorting("duration", "Duration"),
    ]


def _sorting(column: str, name: str) -> str:
    """A heading that can be pressed, with the keyboard as well."""
    return f'<th scope="col"><button type="button" class="sortable" data-column-type="{column}">{name}</button></th>'


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
    plugin = _plugin(config)
    data = getattr(plugin, "_report", None)
    if data is None:
        return
    if config.stash.get(_OURS, False):
        plugin._template = _template()
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


def _template() -> Template:
    """The page, with pytest-html's own script."""
    folders = [Path(page.__file__).parent, Path(pytest_html.__file__).parent / "resources"]
    environment = Environment(loader=FileSystemLoader(folders), autoescape=select_autoescape(["jinja2"]))
    template = environment.get_template(_TEMPLATE)
    template.globals.update(style=STYLE + _STYLE, most_rows=MOST_ROWS)
    return template


def _rank(rows: list[dict[str, Any]]) -> int:
    known = [_ORDER.index(row["result"]) for row in rows if row.get("result") in _ORDER]
    return min(known, default=len(_ORDER))


def banner(config: pytest.Config, columns: tuple[Column, ...]) -> list[str]:
    """The verdicts, and every chapter that needs no script; with its style where the page is a person's own --html."""
    more = {"#all-results": "All results"}
    report = Path(config.option.htmlpath)
    if (report.parent / page.PROOF).is_file():
        more[page.PROOF] = page.PROOF_NAME
    parts = [*page.banner(columns, more), *page.chapters(columns)]
    return parts if config.stash.get(_OURS, False) else [STYLE, _STYLE, *parts, '<div id="all-results"></div>']


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
