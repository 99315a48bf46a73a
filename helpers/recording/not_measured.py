# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the suites that raise NotMeasured: pytest counts them as skips, the terminal shows them separately."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from helpers.errors import NotMeasured
from helpers.recording.phases import message_of, properties
from helpers.recording.selection import is_suite
from helpers.results.verdict import one_line

_CATEGORY = "not measured"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark the report as not measured. In a teardown NotMeasured stays an error, because the call was measured."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, NotMeasured) and report.when != "teardown" and is_suite(item.nodeid):
        report.outcome = "skipped"
        path, line, _ = item.location
        report.longrepr = path, (line or 0) + 1, str(error)
        report.user_properties = [*report.user_properties, ("not_measured", True)]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """The category, letter and word on the terminal."""
    if isinstance(report, pytest.TestReport) and "not_measured" in properties(report):
        return _CATEGORY, "m", ("NOT MEASURED", {"yellow": True})
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each test that was not measured, with its reason."""
    reports = terminalreporter.getreports(_CATEGORY)
    if reports:
        terminalreporter.section(_CATEGORY)
    for report in reports:
        terminalreporter.write_line(one_line(f"NOT MEASURED {report.nodeid}: {message_of(report)}"))
