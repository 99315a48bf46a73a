# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin of ``make prove``: runs every test under each fault that breaks one of its clauses.

Loaded with ``-p faults.plugin``. Under each fault it also runs a sample of the unrelated tests. In a control no fault
is planted: all tests run before the first fault, and a sample between faults. faults/prove.py gives the order. Under a
benign variant, all tests in the folders and files that the variant touches run, and one case of each other test
function. The plugin then writes how many calls each variant affected ("met").
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from faults.catalogue import FAULTS
from faults.detected import Detected, detectors
from faults.fault import CONTROL, Fault
from faults.trial import MET_FILE, MET_PROPERTY
from faults.variants import VARIANTS
from helpers.errors import HarnessError
from helpers.identity import SubjectId
from helpers.plugin.choices import FOLDER, TURNS, case_parameters, clause_ids, subject_of, subjects_of
from helpers.recording.selection import is_suite
from helpers.results.nodeids import NodeIds, parameter_word, without_subject
from helpers.subjects.base import KernelDied
from helpers.subjects.choose import Plant
from helpers.subjects.planted import module_parameter

_DETECTED = pytest.StashKey[Detected]()
_ALL = 1 << 30
_ROUNDS = pytest.StashKey[int]()
_FEW_ROUNDS = 20
"""Rounds of a race that a fault, a variant or a control does not concern. It shows false alarms, not faults."""
_PARTS, _VARIANT_PARTS = 8, 2
"""The control of all tests, and a variant, are divided into this many parts, so that several workers share them.

The tests of one module stay together, because they share observations.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The proof's own options."""
    group = parser.getgroup("proof", "planted faults")
    group.addoption(
        "--prove-beside", type=int, default=60, metavar="N",
        help="sample 1/N of the unrelated test functions (controls: 15/N)",
    )  # fmt: skip
    group.addoption(
        "--prove-most", type=int, default=12, metavar="N", help="run at most N cases of a test function under one fault"
    )
    group.addoption(
        "--prove-every", action="store_true", help="run the tests of a fault that other tests have detected, too"
    )
    group.addoption(
        "--plant-control", action="append", type=_control, default=[], dest="plant", metavar="N",
        help="plant no fault at this position among the faults of --plant; control number N",
    )  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_wants_survey(config: pytest.Config) -> bool:
    """No: the proof runs each fault for only a few seconds, and does not report the kernel's services."""
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_repeats_failure(item: pytest.Item) -> bool:
    """No: with a planted fault, failures are expected."""
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_why_not_run(item: pytest.Item) -> str | None:
    """A detected fault needs no more tests, unless they have not failed yet."""
    subject = _subject_of(item)
    fault = _BY_ID.get(subject.fault) if subject is not None else None
    if subject is None or fault is None or not _concerns(subject, set(clause_ids(item)), item.nodeid):
        return None
    detected = item.config.stash.get(_DETECTED, None)
    return detected.why_not_run(subject, fault, item.nodeid) if detected is not None else None


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_parametrize(metafunc: pytest.Metafunc) -> bool:
    """Parametrise a test function over the faults of its clauses, the controls, and a sample of the other faults."""
    config = metafunc.config
    named = _clauses_of_function(metafunc.definition)
    beside = config.getoption("--prove-beside")
    name = metafunc.definition.nodeid
    taken = [
        each
        for each in subjects_of(config)
        if each.fault in _VARIANTS or _concerns(each, named, name) or _is_beside(name, each, beside)
    ]
    ids = [parameter_word(each) for each in taken]
    if "source" in metafunc.fixturenames:
        # All faults share one machine, so VMs migrate within it.
        pairs = [(each, each) for each in taken]
        metafunc.parametrize(("source", "subject"), pairs, indirect=True, scope="session", ids=ids)
    else:
        metafunc.parametrize("subject", taken, indirect=True, scope="session", ids=ids)
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker runs all tests of a fault: planting it takes a second on each machine."""
    config.option.loadscopereorder = False
    node_ids = NodeIds(subjects_of(config))

    class ByFault(LoadScopeScheduling):  # type: ignore[misc]
        """Distributes whole faults, in their order."""

        def _split_scope(self, nodeid: str) -> str:
            subject = node_ids.subject_of(nodeid)
            if not isinstance(subject, SubjectId):
                return ""
            # Undivided, the control of all tests would keep one worker busy while the others are idle.
            parts = _PARTS if _is_whole_control(subject) else _VARIANT_PARTS if subject.fault in _VARIANTS else 1
            return f"{subject.label} {zlib.crc32(nodeid.partition('::')[0].encode()) % parts}"

    return ByFault(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the cases outside of the sample, and order the rest by fault, because planting is slow.

    First come the tests that have detected the fault before. The last ones are those of other clauses.
    """
    first = _Detectors()
    keep: list[pytest.Item] = []
    leave: list[pytest.Item] = []
    taken: Counter[tuple[str, SubjectId, bool]] = Counter()
    beside, most = config.getoption("--prove-beside"), config.getoption("--prove-most")

    def shuffled(item: pytest.Item) -> int:
        # A pseudo-random order that is the same for each fault, because faults/tier.py looks for cases that detect many
        # faults.
        return zlib.crc32(without_subject(item.nodeid, _subject_of(item)).encode())

    for item in sorted(items, key=shuffled):
        name, subject = item.nodeid.partition("[")[0], _subject_of(item)
        if subject is None:
            # No fault breaks its clauses, or the test is not in suites/.
            (leave if is_suite(item.nodeid) else keep).append(item)
            continue
        concerned = _concerns(subject, set(clause_ids(item)), item.nodeid)
        every = _is_whole_control(subject) or subject.fault in _VARIANTS
        enough = (_ALL if every else most) if concerned else 1
        wanted = (concerned or _is_beside(name, subject, beside)) and taken[name, subject, concerned] < enough
        wanted = wanted or (concerned and item in first)
        taken[name, subject, concerned] += wanted
        (keep if wanted else leave).append(item)
    order: dict[SubjectId | None, int] = {subject: number for number, subject in enumerate(subjects_of(config))}
    items[:] = sorted(keep, key=lambda item: (order.get(_subject_of(item), -1), _turn(item, first), item.nodeid))
    if leave:
        config.hook.pytest_deselected(items=leave)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Shortens a race that the subject does not concern: under the variant slow-ioctls, a full one takes minutes.

    It does not run alone either, because it would wait for a program of another worker that takes as long.
    """
    subject, option = _subject_of(item), item.config.option
    rounds = item.config.stash.setdefault(_ROUNDS, option.race_rounds)
    beside = subject is not None and not _concerns(subject, set(clause_ids(item)), item.nodeid)
    option.race_rounds = min(rounds, _FEW_ROUNDS) if beside else rounds
    turns = item.config.stash.get(TURNS, None)
    if turns is not None:
        turns.shared_only = beside


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Adds to the report how many calls the planted variant has affected."""
    subject = _subject_of(item)
    if subject is not None and subject.fault in _VARIANTS:
        with contextlib.suppress(KernelDied, HarnessError):
            count = module_parameter(subject_of(item), "met")
            item.user_properties.append((MET_PROPERTY, [subject.fault, int(count or 0)]))


def pytest_configure(config: pytest.Config) -> None:
    """Registers what counts: in a worker, which runs all tests of a fault, and in the process that the user started.

    Only the latter receives all reports.
    """
    if not config.getoption("--prove-every"):
        config.stash[_DETECTED] = Detected(subjects_of(config))
        config.pluginmanager.register(config.stash[_DETECTED])
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Meetings(config))


class _Meetings:
    """Writes how many calls each variant affected, for faults/prove.py."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._met: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the largest count, because each planting restarts it at 0."""
        for name, value in report.user_properties:
            if name == MET_PROPERTY and isinstance(value, list):
                variant, count = value
                self._met[variant] = max(self._met[variant], count)

    def pytest_sessionfinish(self) -> None:
        """Write the counts beside the log."""
        (self._config.stash[FOLDER] / MET_FILE).write_text(json.dumps(self._met), "utf-8")


class _Detectors:
    """The tests that have detected their fault when the gate tier was chosen."""

    def __init__(self) -> None:
        self._tests = detectors()

    def __contains__(self, item: pytest.Item) -> bool:
        subject = _subject_of(item)
        if subject is None:
            return False
        tests = self._tests.get((subject.dialect, subject.fault), frozenset())
        return without_subject(item.nodeid, subject) in tests


def _turn(item: pytest.Item, first: _Detectors) -> int:
    """The place of a test among those of its fault."""
    subject = _subject_of(item)
    if subject is not None and not _concerns(subject, set(clause_ids(item)), item.nodeid):
        # The first test after the planting detects a taint. It must be one that a kernel without a fault passes.
        return 2
    return 0 if item in first else 1


def _control(number: str) -> Plant:
    return CONTROL, int(number)


def _subject_of(item: pytest.Item) -> SubjectId | None:
    subject = case_parameters(item).get("subject")
    return subject if isinstance(subject, SubjectId) else None


def _is_whole_control(subject: SubjectId) -> bool:
    return subject.fault == CONTROL and subject.control is None


def _concerns(subject: SubjectId, named: set[str], nodeid: str) -> bool:
    fault, variant = _BY_ID.get(subject.fault), _VARIANTS.get(subject.fault)
    if variant is not None:
        return any(nodeid.startswith(f"suites/{place}") for place in variant.touches)
    return _is_whole_control(subject) or (fault is not None and bool(named & set(fault.clauses)))


def _is_beside(name: str, subject: SubjectId, one_in: int) -> bool:
    """Whether a case of an unrelated test function runs.

    For a fault it is a sample of the functions, for a control a larger sample, for a variant all.
    """
    if subject.fault in _VARIANTS:
        return True
    return _sampled(f"{name} {subject.label}", one_in // 15 if subject.fault == CONTROL else one_in)


_BY_ID: dict[str, Fault] = {fault.id: fault for fault in FAULTS}
_VARIANTS = {variant.id: variant for variant in VARIANTS}


def _clauses_of_function(definition: pytest.Item) -> set[str]:
    """The clauses of all cases of a test function, from its marks and its parameters' marks."""
    marks = list(definition.iter_markers("clause"))
    for parametrize in definition.iter_markers("parametrize"):
        values: Sequence[object] = list(parametrize.args[1]) if len(parametrize.args) > 1 else []
        for value in values:
            marks += [mark for mark in getattr(value, "marks", ()) if mark.name == "clause"]
    return {str(clause) for mark in marks for clause in mark.args}


def _sampled(text: str, one_in: int) -> bool:
    return zlib.crc32(text.encode()) % max(one_in, 1) == 0
