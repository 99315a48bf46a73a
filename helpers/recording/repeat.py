# SPDX-License-Identifier: GPL-2.0-only
"""Runs a test: reports a test that is not run, and repeats a failed test to mark flaky failures.

The outcome of a flaky test is still a failure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from _pytest.runner import runtestprotocol

from helpers.errors import UsageError
from helpers.recording.phases import NOT_RUN, properties
from helpers.recording.selection import is_suite, only_shows, touches_suites

LONGEST = 5.0
"""In seconds. A failed test that took longer, such as a hang, is not repeated."""
FLAKY = "flaky: it failed, then passed when it was repeated"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Raises pytest.UsageError for options of other plugins that have no effect here or give a wrong exit status."""
    if not touches_suites(config) or only_shows(config):
        return
    source = _reruns(config)
    if source:
        why = "the suite repeats a failed test once, and marks it as flaky if it then passes"
        raise pytest.UsageError(str(UsageError(f"{source} is not supported", why=why, cure="Run without it")))
    if _timeout_ends_process(config):
        why = "it ends pytest with status 1, which means NON-CONFORMANT"
        cure = "Use the method signal, or xdist (-n 1)"
        raise pytest.UsageError(str(UsageError("pytest-timeout's method thread is not supported", why=why, cure=cure)))


def _reruns(config: pytest.Config) -> str:
    """The setting that makes pytest-rerunfailures repeat tests; "" if there is none or the plugin is not installed."""
    for name in ("force_reruns", "reruns"):
        number = config.getoption(name, None)
        if number is not None:
            return f"--{name.replace('_', '-')}" if number else ""
    with contextlib.suppress(ValueError):
        # ValueError: no plugin has defined it, or it is no number.
        return "reruns in pytest's configuration" if int(config.getini("reruns") or 0) else ""
    return ""


def _timeout_ends_process(config: pytest.Config) -> bool:
    """Whether a timeout of pytest-timeout ends this process, not a worker of xdist."""
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        return False
    method = config.getoption("timeout_method", None)
    with contextlib.suppress(ValueError):
        # ValueError: pytest-timeout is not installed.
        method = method or config.getini("timeout_method")
    return bool(method == "thread")


@pytest.hookimpl(trylast=True)
def pytest_hvc_repeats_failure(item: pytest.Item) -> bool:
    """Yes, unless --pdb enters a debugger at each failure."""
    return not item.config.getoption("usepdb", False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """pytest's own protocol, but a failed test runs a second time before its failure is reported."""
    if not is_suite(item.nodeid):
        return None
    reason = item.ihook.pytest_hvc_why_not_run(item=item)
    if reason:
        leave_out(item, nextitem, reason)
        return True
    if not item.ihook.pytest_hvc_repeats_failure(item=item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if _worth_repeating(reports):
        again = runtestprotocol(item, nextitem=nextitem, log=False)
        if all(report.passed for report in again):
            _mark(reports)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def leave_out(item: pytest.Item, nextitem: pytest.Item | None, reason: str) -> None:
    """Report that a test is not run.

    The previous test's teardown kept the fixtures that this test shares with it. They end here, unless the next test
    needs them.
    """
    properties: list[tuple[str, object]] = [*item.user_properties, (NOT_RUN, reason)]
    text = f"not run: {reason}"
    report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "setup", user_properties=properties)
    item.ihook.pytest_runtest_logreport(report=report)
    # The teardown hook is not called, because pytest's own plugins fail in it without a set-up.
    call = pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), "teardown")
    if call.excinfo is not None:
        item.ihook.pytest_runtest_logreport(report=item.ihook.pytest_runtest_makereport(item=item, call=call))


def _worth_repeating(reports: Sequence[pytest.TestReport]) -> bool:
    """Whether only the call failed, in a short time, and the kernel still runs."""
    failed = [report for report in reports if report.failed]
    return [report.when for report in failed] == ["call"] and all(
        report.duration < LONGEST and not {"harness_error", "kernel_died"} & properties(report).keys()
        for report in failed
    )


def _mark(reports: Sequence[pytest.TestReport]) -> None:
    for report in reports:
        if report.failed:
            report.user_properties = [*report.user_properties, ("flaky", FLAKY)]
            report.sections.append(("flaky", FLAKY))
            crash = getattr(report.longrepr, "reprcrash", None)
            if crash is not None:
                crash.message = f"{FLAKY}. {crash.message}"
            else:
                report.longrepr = f"{FLAKY}. {report.longrepr}"
