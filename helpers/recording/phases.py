# SPDX-License-Identifier: GPL-2.0-only
"""Makes one result for each test from pytest's reports of its phases (setup, call, teardown)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
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
    NOT_MEASURED,
    PASSED,
    Result,
    SubjectInfo,
    merge_results,
)

_LONGEST_MESSAGE = 20_000
_LONG_FACTS = ("registers", "services", "firmware", "other_registers")
_FACTS_OF_EACH_TEST = ("subject", "dialect", "known")
QUIET = "QUIET-1"
"""The clause that every test also checks: no warning, taint or crash of the kernel."""
NOT_RUN = "not_run"
"""The user property with the reason why the suite did not run a test."""
NOTE = "note"
"""The user property with an observation outside of the clauses. A report may have several."""
_QUIET_REQUIREMENT = "No call of user space and no call of a guest makes KVM warn, taints the kernel, or crashes it."


def outcome_of(report: pytest.TestReport) -> str:
    """The outcome of one phase. A failure in set-up or teardown is an error, unless the kernel is the cause.

    pytest's "expected failure" counts as a failure.
    """
    names = properties(report).keys()
    if names & {"harness_error", NOT_RUN}:
        return ERROR
    if "known_deviation" in names:
        return KNOWN
    if names & {"kernel_died", "kernel_complained"}:
        # In any phase: setup and teardown also make system calls.
        return FAILED
    if "not_measured" in names:
        return NOT_MEASURED
    if hasattr(report, "wasxfail"):
        return FAILED if report.skipped else PASSED
    if report.passed:
        return PASSED
    if report.skipped:
        return NOT_APPLICABLE
    return FAILED if report.when == "call" else ERROR


def properties(report: pytest.TestReport) -> dict[str, Any]:
    """The report's user properties; the last one of each name."""
    return {name: value for name, value in report.user_properties if isinstance(name, str)}


def result_of(reports: list[pytest.TestReport], node_ids: NodeIds) -> Result | None:
    """The result of a test from its phases; None if it had no call (as with --setup-only)."""
    # xdist reports the test that killed a worker with the phase "???".
    if all(report.when in ("setup", "teardown") and report.passed for report in reports):
        return None
    values = {name: value for report in reports for name, value in properties(report).items()}
    subject = values.get("subject")
    notes = dict.fromkeys(str(value) for report in reports for name, value in report.user_properties if name == NOTE)
    result, *_ = merge_results(
        Result(
            nodeid=report.nodeid,
            # xdist sends the subject as plain values.
            subject=msgspec.convert(subject, Identity) if subject else node_ids.subject_of(report.nodeid),
            outcome=outcome_of(report),
            clauses=tuple(str(clause) for clause in values.get("clauses") or ()),
            requirement=_text(values.get("requirement")),
            source=_text(values.get("source")),
            message=message_of(report),
            duration=report.duration,
            calls=_text(properties(report).get("calls")),
            notes=tuple(notes),
        )
        for report in reports
    )
    return _with_quiet_clause(result, [report for report in reports if outcome_of(report) == FAILED])


def _with_quiet_clause(result: Result, failed: list[pytest.TestReport]) -> Result:
    """The result with the clause QUIET if the kernel warned or tainted itself, or died outside of the call.

    QUIET replaces the clauses of the test, unless the test itself failed too.
    """
    complaints = [properties(report).get("kernel_complained") for report in failed]
    if any(complaints) and not all(complaints):
        complaint = _text(next(filter(None, reversed(complaints))))
        return replace(result, clauses=(*result.clauses, QUIET), message=f"{result.message}\n\n{complaint}")
    # Set-up and teardown make the same calls for every test: a death there does not break the test's own clauses.
    died = failed and all(each.when != "call" and "kernel_died" in properties(each) for each in failed)
    if any(complaints) or died:
        return replace(result, clauses=(QUIET,), requirement=_QUIET_REQUIREMENT, source="")
    return result


def facts_as_properties(info: SubjectInfo, *, known: bool = False) -> Iterator[tuple[str, Any]]:
    """The subject's facts as user properties, for ``subject_info``. If ``known``, only the facts of each test.

    Long facts are encoded as one string each. Every report of a test contains them, and xdist sends the items of a list
    or mapping one by one, which is slow.
    """
    for name, value in msgspec.to_builtins(info).items():
        if not known or name in _FACTS_OF_EACH_TEST:
            yield name, json.dumps(value) if name in _LONG_FACTS else value


def subject_info(report: pytest.TestReport) -> SubjectInfo | None:
    """The subject's facts, which are user properties with the names of the fields; None if the report lacks them."""
    values = properties(report)
    if not values.get("subject") or "environment" not in values:
        return None
    facts = {
        n: _unpacked(value) if n in _LONG_FACTS and isinstance(value, str) else value for n, value in values.items()
    }
    # Other properties are ignored.
    return msgspec.convert(facts, SubjectInfo)


@lru_cache(maxsize=64)
def _unpacked(text: str) -> Any:
    return json.loads(text)


def message_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The message of the assertion or error, or why the test is not applicable or was not measured."""
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


def _text(value: object) -> str:
    return "" if value is None else str(value)
