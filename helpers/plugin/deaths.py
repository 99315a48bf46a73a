# SPDX-License-Identifier: GPL-2.0-only
"""Limits the time that kernel deaths cost: after two of them, the other cases of the test function are not run.

With xdist each worker counts separately, because each worker has its own kernel.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence

import pytest

from helpers.errors import HarnessError
from helpers.identity import SubjectId
from helpers.plugin.choices import LINEUP, case_parameters, needs_subject, subjects_of
from helpers.subjects.base import GivenUp, Subject

MOST_DEATHS = 2
"""After this many cases of a test function have ended the subject, its other cases are not run."""
MOST_CHAPTERS = 3
"""A subject is given up if tests of this many chapters ended it and it survived no test in between."""
_ENDS = pytest.StashKey["Ends"]()


class Ends:
    """The tests that ended a subject.

    ``way`` are the ids of the subjects that a test uses: the source and the target of a migration, or a single one.
    """

    def __init__(self) -> None:
        self._in_function: Counter[tuple[Sequence[SubjectId], str]] = Counter()
        self._in_a_row: defaultdict[SubjectId, dict[str, None]] = defaultdict(dict)

    def why_not_run(self, way: Sequence[SubjectId], nodeid: str) -> str:
        """Why a test is not run; "" if it is."""
        deaths = self._in_function[way, _function(nodeid)]
        return f"{deaths} cases of this test function ended the kernel" if deaths >= MOST_DEATHS else ""

    def check(self, way: Sequence[SubjectId]) -> None:
        """Raises GivenUp for a subject that tests of several chapters ended."""
        for subject_id in way:
            chapters = self._in_a_row[subject_id]
            if len(chapters) >= MOST_CHAPTERS:
                why = f"tests of {len(chapters)} chapters in a row ended it ({', '.join(chapters)})"
                cure = "Run one chapter, such as suites/lock, to see how far it gets"
                raise GivenUp(f"{subject_id.label} is given up", why=why, cure=cure)

    def add(self, way: Sequence[SubjectId], nodeid: str, ended: Sequence[SubjectId]) -> None:
        """A test ended these subjects."""
        self._in_function[way, _function(nodeid)] += 1
        for subject_id in ended:
            self._in_a_row[subject_id][nodeid.split("/")[1].partition("::")[0]] = None

    def survived(self, subject_id: SubjectId) -> None:
        """A test used the subject and did not end it."""
        self._in_a_row[subject_id].clear()


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ENDS] = Ends()


@pytest.hookimpl(trylast=True)
def pytest_hvc_why_not_run(item: pytest.Item) -> str | None:
    """Skip the test if two cases of its function ended the kernel."""
    return item.config.stash[_ENDS].why_not_run(_way(item), item.nodeid) or None if needs_subject(item) else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Raises GivenUp."""
    if needs_subject(item):
        item.config.stash[_ENDS].check(_way(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Compares the ends of the test's subjects before and after it, setup and teardown included."""
    if not needs_subject(item) or item.ihook.pytest_hvc_why_not_run(item=item):
        return (yield)
    way, ends = _way(item), item.config.stash[_ENDS]
    subjects = _subjects(item, way)
    before = {each: subject.ends for each, subject in subjects.items()}
    result = yield
    ended = [each for each, subject in subjects.items() if subject.ends > before[each]]
    if ended:
        ends.add(way, item.nodeid, ended)
    for each, subject in subjects.items():
        if each not in ended and subject.alive:
            ends.survived(each)
    return result


def _way(item: pytest.Item) -> tuple[SubjectId, ...]:
    parameters = case_parameters(item)
    subject: SubjectId = parameters.get("subject") or subjects_of(item.config)[0]
    source: SubjectId = parameters.get("source") or subject
    return tuple(dict.fromkeys((source, subject)))


def _subjects(item: pytest.Item, way: Sequence[SubjectId]) -> dict[SubjectId, Subject]:
    """The subjects, without those that cannot be used on this machine."""
    subjects: dict[SubjectId, Subject] = {}
    for each in way:
        with contextlib.suppress(HarnessError):
            subjects[each] = item.config.stash[LINEUP].get(each)
    return subjects
