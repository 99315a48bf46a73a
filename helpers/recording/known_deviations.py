# SPDX-License-Identifier: GPL-2.0-only
"""Marks known deviations as "xfailed", so that pytest's summary and -x agree with the verdict."""

from __future__ import annotations

import msgspec
import pytest

from helpers.recording.phases import properties
from helpers.results.records import KnownDeviation


def excuse_known(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Turn a failed assertion into a known deviation if the subject has a known deviation of the test's clauses.

    The clauses and the subject's known deviations are in the report's user properties "clauses" and "known". A failure
    without an assertion, such as a kernel death, is unchanged.
    """
    assertion = call.excinfo is not None and call.excinfo.errisinstance(AssertionError)
    if not report.failed or report.when != "call" or not assertion:
        return
    clauses = tuple(properties(report).get("clauses") or ())
    known = msgspec.convert(properties(report).get("known") or (), tuple[KnownDeviation, ...])
    match = next((each for each in known if each.excuses(clauses)), None)
    if match is None:
        return
    report.outcome = "skipped"
    report.wasxfail = f"known deviation {match.name}: {match.reason} {match.link}"
    report.user_properties = [*report.user_properties, ("known_deviation", match.name)]
