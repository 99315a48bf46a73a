# SPDX-License-Identifier: GPL-2.0-only
"""The timeouts of a slow subject."""

from __future__ import annotations

import pytest

from helpers.executor import wire
from helpers.executor.program import Program
from helpers.subjects.remote import BOOTS, DEFAULT_SECONDS, TimeLimit


def limit() -> TimeLimit:
    return TimeLimit("a subject")


def test_a_fast_boot_changes_nothing() -> None:
    fast = limit()
    fast.adapt(DEFAULT_SECONDS / BOOTS / 2)
    assert (fast.left(), fast.slowness) == (DEFAULT_SECONDS, 1)


@pytest.mark.parametrize("begins", [True, False], ids=["in a test", "before a test"])
def test_a_slow_boot_gives_more_time(begins: bool) -> None:
    slow = limit()
    if begins:
        slow.begin(None)
    slow.adapt(30)
    assert slow.left() == pytest.approx(BOOTS * 30, abs=5) and slow.seconds == BOOTS * 30
    slow.begin(None)
    assert slow.seconds == BOOTS * 30
    # Another boot may be faster.
    slow.adapt(1)
    assert slow.left() == pytest.approx(DEFAULT_SECONDS, abs=5)


def test_a_timeout_of_the_user_wins() -> None:
    slow = limit()
    slow.begin(7)
    slow.adapt(30)
    assert slow.seconds == 7 and slow.left() <= 7
    slow.begin(8)
    assert slow.seconds == 8 and slow.left() <= 8


def test_a_slow_subject_has_more_time_to_clean_up() -> None:
    slow = limit()
    slow.begin(1)
    slow.adapt(30)
    slow.extend(5)
    assert slow.left() == pytest.approx(5 * slow.slowness, abs=5)


def test_a_programs_own_deadline_is_longer_on_a_slow_subject() -> None:
    program, thrice = Program(deadline_ms=100), Program(deadline_ms=300)
    assert wire.encode(program, slowness=3) == wire.encode(thrice)
    assert wire.encode(program, slowness=3, deadline_ms=250) == wire.encode(Program(deadline_ms=250))
