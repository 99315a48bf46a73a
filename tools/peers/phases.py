# SPDX-License-Identifier: GPL-2.0-only
"""A pytest plugin that writes how long the phases of a session take. ``-p tools.peers.phases``, for the benchmark.

The phases of a session, in seconds of wall clock. The kernel boots while the tests are collected, so ``boot`` is only
what is left of the boot after the collection.

- ``start``: from the start of the process to the first test's set-up, with the collection
- ``boot``: until the first test runs
- ``tests``: until the last test has ended
- ``reports``: until the reports are written
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

FILE_VARIABLE = "KVM_HVC_PHASES"
"""The environment variable with the path of the file."""
_STAT_START = 19
"""The start time's place in /proc/PID/stat after the name, in clock ticks since boot (proc_pid_stat(5))."""


def pytest_configure(config: pytest.Config) -> None:
    """Measures in the process that the user started, which receives all reports."""
    if FILE_VARIABLE in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Phases(Path(os.environ[FILE_VARIABLE]), _process_start()))


def _process_start() -> float:
    """In seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_STAT_START])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


class Phases:
    """The times of one session, from its reports. ``began`` is in seconds since the epoch."""

    def __init__(self, path: Path, began: float) -> None:
        self._path, self._began = path, began
        self._set_up, self._called, self._ended = float("inf"), float("inf"), 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first start of a set-up and of a call, and the last end."""
        self._set_up = min(self._set_up, report.start)
        if report.when == "call":
            self._called = min(self._called, report.start)
        self._ended = max(self._ended, report.stop)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Write the phases, unless no test ran."""
        if self._called < self._ended:
            times = [self._began, self._set_up, self._called, self._ended, time.time()]
            names = ("start", "boot", "tests", "reports")
            phases = {name: end - begin for name, begin, end in zip(names, times, times[1:], strict=False)}
            self._path.write_text(json.dumps(phases), "utf-8")
