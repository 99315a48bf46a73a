# SPDX-License-Identifier: GPL-2.0-only
"""Brings up all processors of a machine in QEMU for the races. It boots with one, which makes other tests faster."""

from __future__ import annotations

import contextlib
from itertools import groupby
from pathlib import Path

import pytest

from helpers.errors import HarnessError
from helpers.identity import Reach
from helpers.kvm import Kvm
from helpers.placement import bring_up, take_down
from helpers.subjects.base import KernelDied
from suites.conftest import Note

_FOLDER = Path(__file__).parent


class _Processors:
    """The processors that were brought up for the races. After a reboot of the kernel, they are brought up again."""

    def __init__(self) -> None:
        self._kvm: Kvm | None = None
        self._numbers: tuple[int, ...] = ()

    def bring_up(self, kvm: Kvm) -> None:
        if self._kvm is not kvm:
            self._kvm, self._numbers = kvm, bring_up(kvm.subject)
            if self._numbers:
                kvm.place()

    def take_down(self) -> None:
        if self._kvm is not None and self._kvm.alive and self._numbers:
            take_down(self._kvm.subject, self._numbers)
            self._kvm.place()
        self._kvm = None


_BROUGHT_UP = pytest.StashKey[_Processors]()


def _subject(item: pytest.Item) -> object:
    return getattr(getattr(item, "callspec", None), "params", {}).get("subject")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With xdist the races are the first tests of each subject, so that one worker gets them all. Several workers that
    race at the same time would compete for the processors."""
    for item in items:
        if _FOLDER in item.path.parents:
            item.add_marker("alone")
    if hasattr(config, "workerinput"):
        of_subjects = [list(group) for _, group in groupby(items, _subject)]
        items[:] = [
            item for group in of_subjects for item in sorted(group, key=lambda i: _FOLDER not in i.path.parents)
        ]


@pytest.fixture(autouse=True)
def all_processors(kvm: Kvm, note: Note, pytestconfig: pytest.Config) -> None:
    """Brings up all processors in QEMU. The processors of a board and of this machine are left alone."""
    if kvm.subject.id.reach is Reach.KERNEL:
        pytestconfig.stash.setdefault(_BROUGHT_UP, _Processors()).bring_up(kvm)
    count = len(kvm.placement.cores)
    note(f"raced on {count} processor{'' if count == 1 else 's'}")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Takes the processors down before a test of another chapter."""
    if _BROUGHT_UP in item.config.stash and (nextitem is None or _FOLDER not in nextitem.path.parents):
        # If the kernel died, the next test reports it.
        with contextlib.suppress(KernelDied, HarnessError):
            item.config.stash[_BROUGHT_UP].take_down()
