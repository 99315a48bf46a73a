# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin of a run on mutants: it runs many mutants in one session, each until its first failure.

Loaded with ``-p tools.mutants.plugin``. The fast chapters that detect the most mutants come first, the slow ones last.
"""

from __future__ import annotations

import pytest

from helpers.identity import SubjectId
from helpers.plugin.choices import case_parameters, subjects_of
from helpers.results.nodeids import NodeIds, parameter_word

_FIRST = ("defaults", "limits", "lock", "events", "run", "neighbours", "filter", "hypercalls", "access")
_LAST = ("migration", "concurrency")
_NOTICED = pytest.StashKey[set[object]]()


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_wants_survey(config: pytest.Config) -> bool:
    """No: a mutant's services are not reported."""
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_repeats_failure(item: pytest.Item) -> bool:
    """No: with a mutant, failures are expected."""
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_parametrize(metafunc: pytest.Metafunc) -> bool | None:
    """Parametrise migration tests over pairs of the same mutant: a failure of a mixed pair could be due to either."""
    if "source" not in metafunc.fixturenames:
        return None
    mutants = subjects_of(metafunc.config)
    ids = [parameter_word(each) for each in mutants]
    pairs = [(each, each) for each in mutants]
    metafunc.parametrize(("source", "subject"), pairs, indirect=True, scope="session", ids=ids)
    return True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the chapters in order. The sort is stable, so a chapter's tests stay in theirs."""
    items.sort(key=_place)


def pytest_configure(config: pytest.Config) -> None:
    """Start with an empty set of detected mutants."""
    config.stash[_NOTICED] = set()
    config.pluginmanager.register(_Failures(config))


@pytest.hookimpl(optionalhook=True)
def pytest_hvc_why_not_run(item: pytest.Item) -> str | None:
    """A detected mutant needs no more tests."""
    detected = case_parameters(item).get("subject") in item.config.stash[_NOTICED]
    return "another test has detected this mutant" if detected else None


class _Failures:
    """Collects the mutants that have a failed test."""

    def __init__(self, config: pytest.Config) -> None:
        self._noticed = config.stash[_NOTICED]
        self._node_ids = NodeIds(subjects_of(config))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the mutant of a failed test. A failure of the harness does not count."""
        subject = self._node_ids.subject_of(report.nodeid)
        if report.failed and "harness_error" not in dict(report.user_properties) and isinstance(subject, SubjectId):
            self._noticed.add(subject)


def _place(item: pytest.Item) -> int:
    chapter = item.nodeid.split("/")[1] if item.nodeid.startswith("suites/") else ""
    if chapter in _FIRST:
        return _FIRST.index(chapter)
    return len(_FIRST) + (_LAST.index(chapter) + 1 if chapter in _LAST else 0)
