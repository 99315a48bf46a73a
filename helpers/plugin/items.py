# SPDX-License-Identifier: GPL-2.0-only
"""What surrounds each test: the clauses that it checks, its time, and what its failure says."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest

from helpers.contract.clauses import CLAUSES
from helpers.contract.differences import standing_of
from helpers.errors import HarnessError
from helpers.plugin.choices import LINEUP, TOLD, TRACE, WATCHES, needs_subject, subject_of, subjects_of
from helpers.recording.known_deviations import excuse_known
from helpers.recording.selection import is_suite
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.watch import KernelComplained
from helpers.trace.listing import listing

TEARDOWN_SECONDS = 5.0
"""What closing a test's VMs may take when the test itself used up its time."""


def _clause_ids(item: pytest.Item) -> list[str]:
    return [str(i) for mark in item.iter_markers("clause") for i in mark.args]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each result carries the sentences that its test checks, in whose order each subject's tests run.

    The contract begins with what the rest builds on, so the first failure names the sentence that is broken, not one
    whose test merely stumbles over it. A subject that is left for another is closed, and would have to boot again.
    """
    for item in items:
        if not is_suite(item.nodeid):
            continue
        ids = _clause_ids(item)
        unknown = [i for i in ids if i not in CLAUSES]
        if unknown or not ids:
            raise pytest.UsageError(f"{item.nodeid} names {unknown or 'no clause'}: see helpers/contract/clauses/")
        clauses = [CLAUSES[i] for i in ids]
        item.user_properties += [
            ("clauses", ids),
            ("requirement", " ".join(c.text for c in clauses)),
            ("source", "; ".join(f"{c.source} ({standing_of(c)})" for c in clauses)),
        ]
    order = {clause: number for number, clause in enumerate(CLAUSES)}
    subjects = {each: number for number, each in enumerate(subjects_of(config))}
    first = next(iter(subjects))

    def place(item: pytest.Item) -> tuple[int, int]:
        if not is_suite(item.nodeid):
            return -1, -1
        parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        return subjects.get(parameters.get("subject", first), 0), order[_clause_ids(item)[0]]

    items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The test's time begins, and so do the last words of a kernel that it kills."""
    item.config.stash[TRACE].clear()
    if needs_subject(item):
        with contextlib.suppress(HarnessError):
            subject_of(item).begin_test(item.config.getoption("--test-deadline"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Whatever the test took, its VMs are closed; and a kernel that complained meanwhile has failed it."""
    if needs_subject(item):
        with contextlib.suppress(HarnessError):
            subject_of(item).begin_teardown(TEARDOWN_SECONDS)
    try:
        yield
    finally:
        deaths = [died for died in item.config.stash[LINEUP].untold() if died not in item.stash.get(TOLD, ())]
    if deaths:
        # Whoever met it went on without a word.
        raise deaths[0]
    watches = item.config.stash[WATCHES]
    for watch in watches.values() if needs_subject(item) else ():
        with item.config.stash[TRACE].paused():
            complaint = watch.complaint()
        if complaint:
            raise KernelComplained(complaint)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Harness errors, known deviations and failures are told apart; a kernel's death needs no traceback."""
    report = yield
    excuse_known(report, call)
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, HarnessError):
        report.user_properties = [*report.user_properties, ("harness_error", str(error))]
        report.longrepr = f"HARNESS ERROR, not a finding about the kernel: {error}"
    elif isinstance(error, KernelDied):
        item.stash.setdefault(TOLD, []).append(error)
        report.user_properties = [*report.user_properties, ("kernel_died", error.how)]
        report.longrepr = str(error)
    elif isinstance(error, KernelComplained):
        report.user_properties = [*report.user_properties, ("kernel_complained", str(error))]
        report.longrepr = str(error)
    if error is not None and not isinstance(error, pytest.skip.Exception) and is_suite(item.nodeid):
        report.user_properties = [*report.user_properties, ("calls", listing(item.config.stash[TRACE]))]
    if isinstance(error, GivenUp) and len(subjects_of(item.config)) == 1:
        item.session.shouldstop = str(error)
    return report
