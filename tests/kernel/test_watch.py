# SPDX-License-Identifier: GPL-2.0-only
"""The watch on the log of a real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helpers.results.log import read_log
from tests.support import ROOT


def test_the_last_test_of_a_session_is_watched(tmp_path: Path) -> None:
    """Its subject is closed before what its kernel said is told."""
    only = "suites/lock/test_lock.py::test_same_value[STD-set_on_vcpu0-vcpu0_ran]"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--plant=quiet-warning", only]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command.append(f"--reports={tmp_path}")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (result,) = read_log(tmp_path / "results.jsonl").results
    assert done.returncode == 1 and "The kernel complained" in result.message, done.stdout + done.stderr
