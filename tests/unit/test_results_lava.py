# SPDX-License-Identifier: GPL-2.0-only
"""LAVA's test definition and the names of its test cases."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from helpers.formats.lava import unique
from tests.support.lavacheck import definition


def test_every_step_ends_well_or_says_otherwise() -> None:
    """LAVA's shell ends at the first step that fails, and a job without results is a good one."""
    *steps, last = definition()["run"]["steps"]
    assert all("||" in step for step in steps)
    assert last.endswith("|| lava-test-case verdict --result unknown")


@given(st.lists(st.text(alphabet="a-2[ é"), max_size=12))
def test_no_two_names_become_one(names: list[str]) -> None:
    found = list(unique(names))
    assert len(set(found)) == len(names) and all(re.fullmatch("[A-Za-z0-9_.-]+", name) for name in found)
