# SPDX-License-Identifier: GPL-2.0-only
"""What tests that end the kernel cost: other cases of their function, and the kernel itself only at last."""

from __future__ import annotations

import pytest

from helpers.identity import SubjectId
from helpers.plugin.deaths import MOST_DEATHS, Ends
from helpers.subjects.base import GivenUp

A, B = SubjectId("a"), SubjectId("b")
ALONE, MIGRATION = (A,), (B, A)
LOCK = "suites/lock/test_lock.py::test_changed"


def test_two_deaths_leave_out_the_other_cases_of_the_function() -> None:
    ends = Ends()
    for case in range(MOST_DEATHS):
        assert not ends.why_not_run(ALONE, f"{LOCK}[{case}]")
        ends.add(ALONE, f"{LOCK}[{case}]", ALONE)
        ends.survived(A)
    assert ends.why_not_run(ALONE, f"{LOCK}[9]") == "2 cases of this test function ended the kernel"
    for way, nodeid in ((ALONE, f"{LOCK}_value[9]"), (ALONE, "suites/a/test_a.py::test_b"), (MIGRATION, f"{LOCK}[9]")):
        assert not ends.why_not_run(way, nodeid)
    ends.check(ALONE)


def test_a_kernel_is_given_up_only_if_tests_of_several_chapters_end_it() -> None:
    ends = Ends()
    for number in range(20):
        ends.add(ALONE, f"{LOCK}{number}", ALONE)
    ends.add(ALONE, "suites/run/test_run.py::test_x", ALONE)
    ends.check(ALONE)
    ends.add(MIGRATION, "suites/migration/test_m.py::test_x", [A])
    for way in (ALONE, MIGRATION):
        with pytest.raises(GivenUp, match=r"a is given up: tests of 3 chapters in a row ended it \(lock, run, migr"):
            ends.check(way)
    ends.check([B])


def test_a_kernel_that_answers_in_between_is_not_given_up() -> None:
    ends = Ends()
    for chapter in ("lock", "run", "model", "concurrency", "migration"):
        ends.add(ALONE, f"suites/{chapter}/test_x.py::test_x", ALONE)
        ends.check(ALONE)
        ends.survived(A)
