# SPDX-License-Identifier: GPL-2.0-only
"""Failures that are known: pytest's own "xfailed", so that its summary and -x agree with the verdict."""

from __future__ import annotations

import pytest

from helpers.recording.phases import properties, subject_info


def excuse_known(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Turns the failed assertion of a test into a known deviation, if its subject is recognised to have it.

    The report's user properties hold both: "clauses", those that the test checks, and "known", those of the subject.
    Anything but an assertion (a kernel that died, say) stays what it is.
    """
    if not report.failed or report.when != "call" or not _is_assertion(call):
        return
    clauses = tuple(properties(report).get("clauses") or ())
    info = subject_info(report)
    match = next((each for each in info.known if each.excuses(clauses)), None) if info else None
    if match is None:
        return
    report.outcome = "skipped"
    report.wasxfail = f"known deviation {match.name}: {match.reason} {match.link}"
    report.user_properties = [*report.user_properties, ("known_deviation", match.name)]


def _is_assertion(call: pytest.CallInfo[None]) -> bool:
    return call.excinfo is not None and call.excinfo.errisinstance(AssertionError)
