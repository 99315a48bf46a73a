# SPDX-License-Identifier: GPL-2.0-only
"""The watch on the log of a real kernel."""

from __future__ import annotations

from pathlib import Path

from helpers.results.log import read_log
from tests.support.sessions import run_pytest


def test_the_last_test_of_a_session_is_watched(tmp_path: Path) -> None:
    """Its subject is closed before the kernel's log is reported."""
    only = "suites/lock/test_lock.py::test_same_value[STD-set_on_vcpu0-vcpu0_ran]"
    status, text = run_pytest("--plant=quiet-warning", only, f"--reports={tmp_path}")
    (result,) = read_log(tmp_path / "results.jsonl").results
    assert status == 1 and "The kernel reported an error" in result.message, text
