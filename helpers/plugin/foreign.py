# SPDX-License-Identifier: GPL-2.0-only
"""Outcomes that do not come from a check of the suite, such as another plugin's timeout or skip: harness errors."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from _pytest import outcomes

from helpers.batch import KvmError
from helpers.contract import check
from helpers.errors import HarnessError, NotMeasured
from helpers.recording.selection import SUITES, suite_root
from helpers.subjects.base import KernelDied
from helpers.subjects.watch import KernelComplained

_FINDINGS = (KvmError, KernelDied, KernelComplained)
"""Exceptions that are results about the kernel, wherever they are raised."""
_CHECKS = (AssertionError, pytest.fail.Exception, pytest.skip.Exception)
"""Exceptions that are results about the kernel only if the suite raises them, because plugins raise them too."""
_CURE = "If a pytest plugin is the cause, run without it; otherwise report a bug of the suite, with the traceback"


def foreign_outcome(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> HarnessError | None:
    """The error if the outcome of a phase is no result about the kernel; None if it is one, or is a harness error.

    A failure in set-up or teardown is always an error.
    """
    if call.excinfo is None:
        return _changed(report) if report.failed or (report.skipped and not hasattr(report, "wasxfail")) else None
    error = call.excinfo.value
    skips = isinstance(error, pytest.skip.Exception)
    if isinstance(error, (HarnessError, NotMeasured)) or not (report.when == "call" or skips):
        return None
    place, line = _origin(call.excinfo)
    if isinstance(error, _FINDINGS) or (isinstance(error, _CHECKS) and _is_own(place, item)):
        return _changed(report) if report.passed else None
    ended = "was skipped" if skips else f"ended with {type(error).__name__}"
    what = f"The test {ended}, but not in a check of the suite"
    return HarnessError(what, why=f"{_first_line(error)} ({place.name}, line {line})", cure=_CURE)


def _changed(report: pytest.TestReport) -> HarnessError:
    what = f"A pytest plugin changed the outcome of the test to {report.outcome}"
    return HarnessError(what, why=_first_line(report.longreprtext), cure="Run without that plugin")


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _origin(excinfo: pytest.ExceptionInfo[BaseException]) -> tuple[Path, int]:
    """File and line where the exception was raised; those of the caller for pytest.fail and pytest.skip."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(excinfo.tb)]
    raised = next((each for each in reversed(frames) if each[0] != outcomes.__file__), frames[-1])
    return Path(raised[0]).resolve(), raised[1]


def _is_own(place: Path, item: pytest.Item) -> bool:
    """Whether a file contains checks: it is in suites/, or is the module that compares answers."""
    suites = (suite_root(item.config) / SUITES).resolve()
    return suites in place.parents or place == Path(check.__file__).resolve()
