# SPDX-License-Identifier: GPL-2.0-only
"""The order of the tests, alone and in xdist's workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from helpers.contract.clauses import CLAUSES
from helpers.plugin import items
from helpers.plugin.items import pytest_collection_modifyitems

EARLY, LATE = next(iter(CLAUSES)), list(CLAUSES)[-1]


class Item:
    """A test of suites/ with a clause and a mark."""

    def __init__(self, name: str, clause: str, mark: str = "") -> None:
        self.nodeid, self._clause, self._mark = f"suites/x/test_x.py::{name}", clause, mark
        self.user_properties: list[Any] = []

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [pytest.Mark(name, (self._clause,), {}, _ispytest=True)]

    def get_closest_marker(self, name: str) -> str | None:
        return self._mark if self._mark == name else None


@pytest.mark.parametrize(
    ("worker", "order"),
    [
        (False, ["first", "early", "early_long", "late", "late_long"]),
        (True, ["first", "early_long", "late_long", "early", "late"]),
    ],
)
def test_long_tests_begin_early_in_workers(worker: bool, order: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "subjects_of", lambda config: ("debian:stable",))
    config: Any = SimpleNamespace(**({"workerinput": {}} if worker else {}))
    tests: list[Any] = [
        Item("late", LATE), Item("late_long", LATE, "long"), Item("early", EARLY), Item("early_long", EARLY, "long"),
        Item("first", LATE, "first"),
    ]  # fmt: skip
    pytest_collection_modifyitems(config, tests)
    assert [each.nodeid.rpartition("::")[2] for each in tests] == order
