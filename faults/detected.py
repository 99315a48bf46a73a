# SPDX-License-Identifier: GPL-2.0-only
"""Which tests of a proof need not run, because their fault is detected already.

A test is run as long as one of its fault's clauses has no failed test, or its test function has not failed under any
fault. The tests that the gate tier names for the fault are the first ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest

from faults.fault import CONTROL, DETECTED, Fault
from helpers.contract.tiers import read_tier
from helpers.errors import UsageError
from helpers.identity import SubjectId
from helpers.recording.phases import outcome_of, properties
from helpers.results.nodeids import NodeIds
from helpers.results.records import FAILED


class Detected:
    """What the tests in this process have detected until now. It is a pytest plugin."""

    def __init__(self, subjects: Sequence[SubjectId]) -> None:
        self._node_ids = NodeIds(subjects)
        self._clauses: dict[SubjectId, set[str]] = defaultdict(set)
        self._functions: set[str] = set()

    def why_not_run(self, subject: SubjectId, fault: Fault, nodeid: str) -> str | None:
        """DETECTED, or None if the test is to run."""
        rest = set(fault.clauses) - self._clauses[subject]
        return None if rest or _function(nodeid) not in self._functions else DETECTED

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a failure. One without a planted fault detects nothing."""
        subject = self._node_ids.subject_of(report.nodeid)
        if isinstance(subject, SubjectId) and subject.fault != CONTROL and outcome_of(report) == FAILED:
            self._clauses[subject].update(properties(report).get("clauses", ()))
            self._functions.add(_function(report.nodeid))


def detectors() -> dict[tuple[str, str], frozenset[str]]:
    """The tests of the gate tier that detect each pair of dialect and fault; none if the tier has no list yet."""
    try:
        tier = read_tier()
    except UsageError:
        return {}
    return {
        (dialect, fault): frozenset(tier.tests[number] for number in numbers)
        for dialect, faults in tier.faults.items()
        for fault, numbers in faults.items()
    }


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]
