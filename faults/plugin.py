# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin of ``make prove``: every test under each fault that breaks one of its clauses, on a warm machine.

Loaded with ``-p faults.plugin``. A few tests that should not notice are run beside them, and the control, in which no
fault is planted: all tests before the first fault, some between. faults/prove.py names the faults in order.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from faults.catalogue import FAULTS
from faults.fault import CONTROL, MAINLINE, Fault
from helpers.recording.selection import is_suite
from helpers.subjects import choose

_PARTS = 8
"""Of the control of all tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """What of the proof is wanted."""
    group = parser.getgroup("proof", "planted faults")
    group.addoption(
        "--prove-beside", type=int, default=60, metavar="N",
        help="of the other test functions, take a case of one in N, a control of one in N/15",
    )  # fmt: skip
    group.addoption(
        "--prove-most", type=int, default=12, metavar="N", help="of one test function under one fault, take N cases"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_wants_survey(config: pytest.Config) -> bool:
    """A proof tests each planted kernel for seconds and reports none of its services."""
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_repeats_failure(item: pytest.Item) -> bool:
    """Failures are expected here."""
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_parametrize(metafunc: pytest.Metafunc) -> bool:
    """Parametrise a test function over the faults that one of its cases may have to notice, and a few more."""
    config = metafunc.config
    dialect = config.getoption("--dialect-host") or MAINLINE
    labels = choose.labels(config.getoption("--kernel"), dialect=dialect, faults=config.getoption("--plant"))
    named = _clauses_of_function(metafunc.definition)
    beside = config.getoption("--prove-beside")
    name = metafunc.definition.nodeid
    taken = [label for label in labels if _concerns(label, named) or _is_beside(name, label, beside)]
    if "source" in metafunc.fixturenames:
        # VMs migrate within one machine: another fault's would be the same machine.
        pairs = [(label, label) for label in taken]
        metafunc.parametrize(("source", "subject"), pairs, indirect=True, scope="session", ids=taken)
    else:
        metafunc.parametrize("subject", taken, indirect=True, scope="session", ids=taken)
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A fault's tests all go to one worker: planting one takes a second, on each machine that has a test of it."""
    config.option.loadscopereorder = False
    faults = sorted(config.getoption("--plant"), key=len, reverse=True)

    class ByFault(LoadScopeScheduling):  # type: ignore[misc]
        """The faults, in their order."""

        def _split_scope(self, nodeid: str) -> str:
            parameters = nodeid.partition("[")[2]
            found = next((fault for fault in faults if f" {fault}-" in parameters or f" {fault}]" in parameters), "")
            # All tests there are: too many for one worker while the others have nothing left.
            return f"{found} {zlib.crc32(nodeid.encode()) % _PARTS}" if found == CONTROL else found

    return ByFault(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases that need not be run, and order the rest by fault: planting one is what costs."""
    order = {fault: number for number, fault in enumerate(config.getoption("--plant"))}
    keep: list[pytest.Item] = []
    leave: list[pytest.Item] = []
    taken: Counter[tuple[str, str, bool]] = Counter()
    beside, most = config.getoption("--prove-beside"), config.getoption("--prove-most")
    # In no order of their own, so that the cases taken are spread over all there are.
    for item in sorted(items, key=lambda item: zlib.crc32(item.nodeid.encode())):
        name, label = item.nodeid.partition("[")[0], _label_of(item)
        if is_suite(item.nodeid) and not label:
            # No fault concerns the function.
            leave.append(item)
            continue
        concerned = not is_suite(item.nodeid) or _concerns(label, _clauses_of(item))
        enough = 1 << 30 if _fault_of(item) == CONTROL else most if concerned else 1
        wanted = (concerned or _is_beside(name, label, beside)) and taken[name, label, concerned] < enough
        taken[name, label, concerned] += wanted
        (keep if wanted else leave).append(item)
    keep.sort(key=lambda item: (order.get(_fault_of(item), -1), item.nodeid))
    items[:] = keep
    if leave:
        config.hook.pytest_deselected(items=leave)


def _clauses_of(item: pytest.Item) -> set[str]:
    return {str(clause) for mark in item.iter_markers("clause") for clause in mark.args}


def _label_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    label = callspec.params.get("subject") if callspec else None
    return label if isinstance(label, str) else ""


def _fault_of(item: pytest.Item) -> str:
    return choose.wanted(_label_of(item)).fault


def _concerns(label: str, named: set[str]) -> bool:
    fault = choose.wanted(label).fault
    return fault == CONTROL or (fault in _BY_ID and bool(named & set(_BY_ID[fault].clauses)))


def _is_beside(name: str, label: str, one_in: int) -> bool:
    """Whether a case of a function that is to notice nothing is run: of more functions where nothing is planted."""
    controls = choose.wanted(label).fault.startswith(CONTROL)
    return _sampled(f"{name} {label}", one_in // 15 if controls else one_in)


_BY_ID: dict[str, Fault] = {fault.id: fault for fault in FAULTS}


def _clauses_of_function(definition: pytest.Item) -> set[str]:
    """The clauses of all its cases: its marks, and those of its parameters."""
    marks = list(definition.iter_markers("clause"))
    for parametrize in definition.iter_markers("parametrize"):
        values: Sequence[object] = list(parametrize.args[1]) if len(parametrize.args) > 1 else []
        for value in values:
            marks += [mark for mark in getattr(value, "marks", ()) if mark.name == "clause"]
    return {str(clause) for mark in marks for clause in mark.args}


def _sampled(text: str, one_in: int) -> bool:
    return zlib.crc32(text.encode()) % max(one_in, 1) == 0
