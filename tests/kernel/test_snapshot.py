# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that starts from a snapshot gives the results of one that boots."""

from __future__ import annotations

from pathlib import Path

from helpers.results.log import read_log
from tests.support.sessions import KERNEL, run_pytest

TESTS = ("suites/defaults", "suites/lock", "suites/hypercalls/test_services.py", "suites/run", "suites/quiet")


def test_the_same_results(tmp_path: Path) -> None:
    runs = {}
    for name, options in (("cold", ("--cold-boot",)), ("first", ()), ("second", ())):
        status, text = run_pytest(KERNEL, *options, f"--reports={tmp_path / name}", *TESTS)
        assert status == 0, text
        runs[name] = read_log(tmp_path / name / "results.jsonl")
    outcomes = {name: {each.nodeid: each.outcome for each in log.results} for name, log in runs.items()}
    assert outcomes["cold"] == outcomes["first"] == outcomes["second"] and len(outcomes["cold"]) > 150
    boots = {name: log.subjects[0].environment["boot"] for name, log in runs.items()}
    assert "snapshot" not in boots["cold"] and "from a snapshot" in boots["second"], boots
