# SPDX-License-Identifier: GPL-2.0-only
"""The clauses that each test checks, its timeout, and the report of its failure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from helpers.contract.clauses import CLAUSES
from helpers.contract.differences import standing_of
from helpers.errors import HarnessError, NotMeasured
from helpers.plugin.choices import (
    LINEUP,
    TRACE,
    WATCHES,
    case_parameters,
    clause_ids,
    needs_subject,
    subject_of,
    subjects_of,
)
from helpers.plugin.foreign import foreign_outcome
from helpers.plugin.kvm_files import closing
from helpers.recording.failures import HARNESS_ERROR
from helpers.recording.known_deviations import excuse_known
from helpers.recording.phases import NOTE
from helpers.recording.selection import is_suite
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.watch import KernelComplained
from helpers.trace.listing import listing

_REPORTED_DEATHS = pytest.StashKey[list[KernelDied]]()
"""The kernel deaths that a report of the test already contains."""
TEARDOWN_SECONDS = 5.0
"""Timeout of the teardown in seconds. The teardown must close the test's VMs even after the test's own timeout."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the clauses to each result, and sorts the tests by subject, then by clause.

    Later clauses of the contract build on earlier ones, so the first failure shows the broken clause. Only tests with
    the mark ``first`` precede them, and in xdist's workers those with the mark ``long``. The tests of a subject stay
    together, because a subject is closed when another one is used, and would have to boot again.
    """
    for item in items:
        if not is_suite(item.nodeid):
            continue
        ids = clause_ids(item)
        unknown = [i for i in ids if i not in CLAUSES]
        if unknown or not ids:
            raise pytest.UsageError(f"{item.nodeid} names {unknown or 'no clause'}: see helpers/contract/clauses/")
        item.user_properties += clause_properties(ids)
    order = {clause: number for number, clause in enumerate(CLAUSES)}
    subjects = {each: number for number, each in enumerate(subjects_of(config))}
    default = next(iter(subjects))
    early = ("first", "long") if hasattr(config, "workerinput") else ("first",)

    def place(item: pytest.Item) -> tuple[int, int, int]:
        if not is_suite(item.nodeid):
            return -1, 0, 0
        subject = subjects.get(case_parameters(item).get("subject", default), 0)
        marks = [number for number, mark in enumerate(early) if item.get_closest_marker(mark)]
        return subject, min(marks, default=len(early)), order[clause_ids(item)[0]]

    items.sort(key=place)


def clause_properties(ids: Sequence[str]) -> list[tuple[str, object]]:
    """The clauses as user properties of a test, for its result."""
    clauses = [CLAUSES[i] for i in ids]
    return [
        ("clauses", tuple(ids)),
        ("requirement", " ".join(c.text for c in clauses)),
        ("source", "; ".join(f"{c.source} ({standing_of(c)})" for c in clauses)),
    ]


@pytest.fixture
def breaks(request: pytest.FixtureRequest) -> Callable[[Sequence[str]], None]:
    """Replaces the clauses in the result, for a test that determines which clauses the kernel breaks."""

    def name(ids: Sequence[str]) -> None:
        request.node.user_properties += clause_properties(ids)

    return name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Starts the test's timeout and clears the trace."""
    item.config.stash[TRACE].clear()
    if needs_subject(item):
        with contextlib.suppress(HarnessError):
            subject_of(item).begin_test(item.config.getoption("--test-deadline"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Starts the teardown's timeout. An unreported death, or a warning or taint of the kernel, fails the test."""
    if needs_subject(item):
        with contextlib.suppress(HarnessError):
            subject_of(item).begin_teardown(TEARDOWN_SECONDS)
    try:
        yield
    finally:
        reported = item.stash.get(_REPORTED_DEATHS, [])
        deaths = [died for died in item.config.stash[LINEUP].untold() if died not in reported]
    if deaths:
        # Other code has caught the exception, so that no report contains the death.
        raise deaths[0]
    # A test that sent nothing cannot have caused a warning.
    watches = item.config.stash[WATCHES] if needs_subject(item) and item.config.stash[TRACE].count else {}
    for subject_id, watch in watches.items():
        with item.config.stash[TRACE].paused():
            try:
                complaint = watch.complaint(closing(item.config, subject_id))
            finally:
                item.user_properties += [(NOTE, note) for note in watch.notes()]
        if complaint:
            raise KernelComplained(complaint)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Marks harness errors and known deviations, and a kernel's death, warning or taint, which need no traceback.

    It is the outermost wrapper, because other plugins change the outcome in this hook.
    """
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    foreign = foreign_outcome(item, call, report) if is_suite(item.nodeid) else None
    if foreign is None:
        excuse_known(report, call)
    else:
        report.user_properties = [*report.user_properties, ("harness_error", str(foreign))]
        if not report.failed:
            report.outcome, report.longrepr = "failed", str(foreign)
    if isinstance(error, HarnessError):
        report.user_properties = [*report.user_properties, ("harness_error", str(error))]
        report.longrepr = f"{HARNESS_ERROR}: {error}"
    elif isinstance(error, KernelDied):
        item.stash.setdefault(_REPORTED_DEATHS, []).append(error)
        report.user_properties = [*report.user_properties, ("kernel_died", error.how)]
        report.longrepr = str(error)
    elif isinstance(error, KernelComplained):
        report.user_properties = [*report.user_properties, ("kernel_complained", str(error))]
        report.longrepr = str(error)
    if error is not None and not isinstance(error, (pytest.skip.Exception, NotMeasured)) and is_suite(item.nodeid):
        report.user_properties = [*report.user_properties, ("calls", listing(item.config.stash[TRACE]))]
    if isinstance(error, GivenUp) and len(subjects_of(item.config)) == 1:
        item.session.shouldstop = str(error)
    return report
