# SPDX-License-Identifier: GPL-2.0-only
"""The HTML report: pytest-html with the verdict above and the requirement in every row.

pytest-html makes one row for each node id and none for a test whose process died: the banner, which
comes from the results log, lists those.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pytest

from helpers.results.phases import message_of, outcome_of, properties
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED
from helpers.results.selection import only_shows, touches_suites
from helpers.results.verdict import Kind, Verdict, one_line

_ORDER = ("Failed", "Error", "XFailed", "Skipped", "Passed")
_CAPITALS = {"xfailed": "XFailed", "xpassed": "XPassed"}
_OURS = pytest.StashKey[bool]()
_TITLE = "KVM/arm64 hypercall bitmap registers: conformance"
_COLOURS = {
    Kind.CONFORMANT: "#1a7f37",
    Kind.NON_CONFORMANT: "#b42318",
    Kind.INCONCLUSIVE: "#9a6700",
    Kind.NOT_IMPLEMENTED: "#0b6e8a",
}
# pytest-html sorts and filters by its own words; another word for "Skipped" is only shown, never stored.
_STYLE = """<style>
body { color: #222; display: flex; flex-direction: column; }
#environment-header, #environment { order: 1; align-self: flex-start; margin-top: 16px; }
.filters input[disabled], .filters input[disabled] + span { display: none; }
.verdict { color: white; padding: 12px 18px; margin: 8px 0; border-radius: 6px; }
.verdict h2 { color: white; font-size: 26px; margin: 0 0 6px 0; overflow-wrap: anywhere; }
.verdict p, .verdict li { color: white; font-size: 14px; margin: 4px 0; overflow-wrap: anywhere; }
.environment td { border: 1px solid #ddd; padding: 3px 8px; color: #222; }
#results-table { color: #222; }
#results-table td { vertical-align: top; }
.run-count { display: none; }
.col-requirement .clauses { font-weight: bold; }
.col-requirement .source { color: #666; }
.col-finding { white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace; }
.logwrapper:not(:has(.log)) { display: none; }
.col-testId { overflow-wrap: anywhere; }
.skipped td.col-result, span.skipped { color: #666; }
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
    report.title = _TITLE


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
        f'<td class="col-finding">{_text(_finding(report))}</td>',
        f'<td class="col-testId">{_text(test)}</td>',
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


def banner(verdicts: Iterable[Verdict]) -> list[str]:
    """The style sheet and a coloured box for each subject."""
    return [_STYLE, *(_box(verdict) for verdict in verdicts)]


def _box(verdict: Verdict) -> str:
    parts = [f"<h2>{_text(verdict.title)}</h2>", f"<p>{_text(verdict.counted)}</p>"]
    known = [f"{each.name} ({each.clause}): {each.reason} {each.link}" for each in verdict.known]
    parts.append(_list("Known deviations", known))
    if verdict.broken:
        parts.append(f"<p>Broken clauses: {_text(', '.join(verdict.broken))}</p>")
    if verdict.kind is Kind.INCONCLUSIVE:
        parts.append(_list("Why nothing can be concluded", verdict.reasons))
    errors = [f"{result.nodeid}: {result.message.strip().partition(chr(10))[0]}" for result in verdict.errors]
    parts.append(_list("Errors", errors))
    parts.append(_list("Not run", verdict.not_run))
    box = f'<div class="verdict" style="background: {_COLOURS[verdict.kind]}">{"".join(parts)}</div>'
    return box + _environment(verdict)


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(one_line(line))}</li>" for line in lines)
    return f"<p>{_text(title)}:</p><ul>{items}</ul>" if items else ""


def _environment(verdict: Verdict) -> str:
    values = {"subject": verdict.subject, "dialect": verdict.info.dialect, **verdict.info.environment}
    rows = "".join(
        f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in values.items() if value
    )
    return f'<table class="environment">{rows}</table>'


def _requirement(report: Any) -> str:
    if isinstance(report, pytest.CollectReport):
        return "The tests of this file could not be collected."
    found = properties(report)
    clauses = ", ".join(str(clause) for clause in found.get("clauses") or ())
    return (
        f'<div class="clauses">{_text(clauses)}</div>'
        f"<div>{_text(str(found.get('requirement') or ''))}</div>"
        f'<div class="source">{_text(str(found.get("source") or ""))}</div>'
    )


def _finding(report: Any) -> str:
    if report.passed and row_word(report) == "Passed":
        return ""
    return message_of(report)


def _text(text: str) -> str:
    """Untrusted text as HTML on one line of the source; line breaks stay visible as <br>."""
    legal = text.encode("utf-8", "backslashreplace").decode()
    return "<br>".join(escape(line) for line in legal.splitlines())


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
