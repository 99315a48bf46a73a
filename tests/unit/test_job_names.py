# SPDX-License-Identifier: GPL-2.0-only
"""The tests of the suite keep names of their own in jobs that read its KTAP."""

from __future__ import annotations

from collections import Counter

import pytest

from helpers.formats.ktap import ktap
from helpers.results.records import Result
from helpers.results.rows import sections
from tests.support import NOT_APPLICABLE, NOT_MEASURED, PASSED
from tests.support.linaro import job_names
from tests.support.reports import STABLE, log_of
from tests.support.sessions import run_pytest


@pytest.fixture(scope="module")
def nodeids() -> list[str]:
    """Every test of the suite for one kernel."""
    status, text = run_pytest("--collect-only", "-q", "--kernel=debian:stable", "suites")
    lines = [line for line in text.splitlines() if line.startswith("suites/")]
    assert status == 0 and len(lines) > 1000, text[-2000:]
    return lines


@pytest.mark.parametrize("outcome", [PASSED, NOT_APPLICABLE, NOT_MEASURED])
@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
def test_every_test_has_a_name_of_its_own(nodeids: list[str], flat: bool, outcome: str) -> None:
    log = log_of(*(Result(nodeid, STABLE, outcome, message="a reason") for nodeid in nodeids))
    names = Counter(job_names(ktap(sections(log), flat=flat)))
    assert names.total() >= len(nodeids)
    assert [name for name, count in names.items() if count > 1] == []


def test_a_number_in_brackets_is_lost() -> None:
    report = "ok 1 suites/a.py::test_b[0]\n  not ok 2 suites/a.py::test_b[1] # SKIP so\nok 3 c[STD-7] # SKIP\n# | x\n"
    assert list(job_names(report)) == ["suites_a_py_test_b", "suites_a_py_test_b_so", "c_STD-7"]
