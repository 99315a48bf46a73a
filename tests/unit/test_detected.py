# SPDX-License-Identifier: GPL-2.0-only
"""A proof leaves out tests only after their fault is detected, and only functions that can fail."""

from __future__ import annotations

import pytest

from faults.catalogue import FAULTS
from faults.detected import Detected, detectors
from faults.fault import CONTROL, DETECTED, MAINLINE, Fault
from helpers.identity import SubjectId

A, B = "suites/a/test_a.py::test_a", "suites/b/test_b.py::test_b"
F, G, NONE = (SubjectId("debian:stable", fault=name) for name in ("f", "g", CONTROL))
FAULT = Fault("f", "everything", ("A-1", "B-1"), ("kvm_f",))


def report(
    test: str, subject: SubjectId, *clauses: str, when: str = "call", outcome: str = "failed"
) -> pytest.TestReport:
    nodeid, properties = f"{test}[{subject.label}-x]", [("clauses", clauses)]
    return pytest.TestReport(nodeid, ("", 0, ""), {}, outcome, "why", when, user_properties=properties)  # type: ignore[arg-type]


def why(detected: Detected, test: str, subject: SubjectId = F) -> str | None:
    return detected.why_not_run(subject, FAULT, f"{test}[{subject.label}-y]")


def test_a_fault_with_a_failed_test_of_each_clause() -> None:
    detected = Detected((F, G, NONE))
    detected.pytest_runtest_logreport(report(A, F, "A-1"))
    assert why(detected, A) is None, "no test of B-1 has failed"
    detected.pytest_runtest_logreport(report(A, F, "A-1", "B-1"))
    assert why(detected, A) == DETECTED
    assert why(detected, B) is None, "this function has failed under no fault"
    assert why(detected, A, G) is None, "another fault"
    detected.pytest_runtest_logreport(report(B, G, "B-1"))
    assert why(detected, B) == DETECTED


@pytest.mark.parametrize(
    "other",
    [
        report(A, F, "A-1", "B-1", outcome="passed"),
        report(A, F, "A-1", "B-1", when="setup"),
        report(A, NONE, "A-1", "B-1"),
    ],
    ids=["passed", "error", "control"],
)
def test_what_detects_nothing(other: pytest.TestReport) -> None:
    detected = Detected((F, G, NONE))
    detected.pytest_runtest_logreport(other)
    assert why(detected, A) is None


def test_the_gate_tier_names_tests_of_every_fault() -> None:
    assert {fault for dialect, fault in detectors() if dialect == MAINLINE} == {
        fault.id for fault in FAULTS if MAINLINE in fault.dialects
    }
