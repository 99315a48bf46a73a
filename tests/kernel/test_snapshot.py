# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that starts from a snapshot gives the results of one that boots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.results.log import read_log
from helpers.results.records import Log
from tests.support.sessions import KERNEL, run_pytest

TESTS = ("suites/defaults", "suites/lock", "suites/hypercalls/test_services.py", "suites/run", "suites/quiet")
TRIES = 3
"""QEMU cannot continue about one snapshot in a hundred, and another session may write one at the same time. Then the
kernel boots."""


def _runs(folder: Path, argument: str) -> dict[str, Log]:
    """A run with a boot, one that makes a snapshot, and one that starts from it."""
    runs = {}
    for name, options in (("cold", ("--cold-boot",)), ("first", ()), ("second", ())):
        status, text = run_pytest(KERNEL, argument, *options, f"--reports={folder / name}", *TESTS)
        assert status == 0, text
        runs[name] = read_log(folder / name / "results.jsonl")
    return runs


def test_the_same_results(tmp_path: Path) -> None:
    for number in range(TRIES):
        runs = _runs(tmp_path / str(number), f"--kernel-args=khx_try={os.getpid()}-{number}")
        outcomes = {name: {each.nodeid: each.outcome for each in log.results} for name, log in runs.items()}
        assert outcomes["cold"] == outcomes["first"] == outcomes["second"] and len(outcomes["cold"]) > 150
        boots = {name: log.subjects[0].environment["boot"] for name, log in runs.items()}
        assert "snapshot" not in boots["cold"]
        if "from a snapshot" in boots["second"]:
            return
    pytest.fail(f"none of {TRIES} kernels started from a snapshot, the last one: {boots}")
