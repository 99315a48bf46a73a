# SPDX-License-Identifier: GPL-2.0-only
"""From pytest's reports (setup, call, teardown) to one result for each test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest

from helpers.identity import Identity
from helpers.results.nodeids import NodeIds
from helpers.results.records import (
    ERROR,
    FAILED,
    KNOWN,
    NOT_APPLICABLE,
    PASSED,
    Result,
    SubjectInfo,
    merge_results,
)

_LONGEST_MESSAGE = 20_000
QUIET = "QUIET-1"
"""The clause that every test checks as well: the kernel does not complain."""
_QUIETLY: Mapping[str, Any] = {
    "clauses": (QUIET,), "requirement": "The kernel neither warns, nor taints itself, nor dies.", "source": "",
}  # fmt: skip


def outcome_of(report: pytest.TestReport) -> str:
    """The outcome of one phase. Only a call can fail; an expected failure is a failure all the same."""
    if "harness_error" in properties(report):
        return ERROR
    if "known_deviation" in properties(report):
        return KNOWN
    if properties(report).keys() & {"kernel_died", "kernel_complained"}:
        # Whatever phase it was in: setup and teardown make system calls as well.
        return FAILED
    if hasattr(report, "wasxfail"):
        return FAILED if report.skipped else PASSED
    if report.passed:
        return PASSED
    if report.skipped:
        return NOT_APPLICABLE
    return FAILED if report.when == "call" else ERROR


def properties(report: pytest.TestReport) -> dict[str, Any]:
    """The report's user properties; the last of a name counts."""
    return {name: value for name, value in report.user_properties if isinstance(name, str)}


def result_of(reports: list[pytest.TestReport], node_ids: NodeIds) -> Result | None:
    """The result of a test from its phases; None if it never came to its call (as with --setup-only)."""
    last = reports[-1]
    # "???" is what xdist reports for the test that killed a worker.
    if all(report.when in ("setup", "teardown") and report.passed for report in reports):
        return None
    found = {name: value for report in reports for name, value in properties(report).items()}
    subject = _identity(found.get("subject")) or node_ids.subject_of(last.nodeid)
    single = [
        Result(
            nodeid=report.nodeid,
            subject=subject,
            outcome=outcome_of(report),
            clauses=tuple(str(clause) for clause in found.get("clauses") or ()),
            requirement=_text(found.get("requirement")),
            source=_text(found.get("source")),
            message=message_of(report),
            duration=report.duration,
            calls=_text(properties(report).get("calls")),
        )
        for report in reports
    ]
    complaint = _text(found.get("kernel_complained"))
    if not complaint:
        beside = _died_beside(reports)
        return replace(merge_results(single)[0], **_QUIETLY) if beside else merge_results(single)[0]
    failed = any(outcome_of(report) == FAILED and "kernel_complained" not in properties(report) for report in reports)
    return _with_complaint(merge_results(single)[0], complaint, failed)


def _with_complaint(result: Result, complaint: str, failed: bool) -> Result:
    """A complaint breaks a clause of its own, beside those that the test broke if it ``failed`` by itself."""
    if failed:
        return replace(result, clauses=(*result.clauses, QUIET), message=f"{result.message}\n\n{complaint}")
    return replace(result, **_QUIETLY)


def _died_beside(reports: list[pytest.TestReport]) -> bool:
    """Whether the only failure is that the kernel died outside of the test itself: over what every test needs."""
    failed = [report for report in reports if outcome_of(report) == FAILED]
    return bool(failed) and all(r.when != "call" and "kernel_died" in properties(r) for r in failed)


def subject_info(report: pytest.TestReport) -> SubjectInfo | None:
    """What the report's user properties hold of its subject, each under the name of a field; None without a subject."""
    found = properties(report)
    if not found.get("subject") or "dialect" not in found:
        return None
    values = {field.name: found[field.name] for field in fields(SubjectInfo) if field.name in found}
    return msgspec.convert(values, SubjectInfo)


def message_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What a person must read first: the assertion's words, or why the test is not applicable."""
    harness_error = dict(getattr(report, "user_properties", ())).get("harness_error")
    if harness_error:
        return str(harness_error)[:_LONGEST_MESSAGE]
    longrepr: Any = report.longrepr
    if longrepr is None:
        return str(getattr(report, "wasxfail", ""))
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else str(longrepr)
    return text[:_LONGEST_MESSAGE]


def _identity(value: object) -> Identity | None:
    """From a user property, which xdist sends as plain values."""
    return None if value is None else msgspec.convert(value, Identity)


def _text(value: object) -> str:
    return "" if value is None else str(value)
