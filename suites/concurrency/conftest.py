# SPDX-License-Identifier: GPL-2.0-only
"""The races come first, and get every processor of a machine in QEMU (helpers/plugin/processors.py)."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from helpers.kvm import Kvm
from suites.conftest import Note

_FOLDER = Path(__file__).parent


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
def note_processors(kvm: Kvm, note: Note) -> None:
    """Notes on how many processors the test ran."""
    count = len(kvm.placement.cores)
    note(f"raced on {count} processor{'' if count == 1 else 's'}")
