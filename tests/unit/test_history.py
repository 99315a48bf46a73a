# SPDX-License-Identifier: GPL-2.0-only
"""The linearizability checker on histories with an obvious verdict."""

from __future__ import annotations

from errno import EBUSY, EINVAL

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.contract.linearizability import EventKind, HistoryEvent, ThreadHistory, one_order, show_history

RUN = HistoryEvent(EventKind.RUN)
History = tuple[ThreadHistory, ...]


def put(value: int, error: int = 0) -> HistoryEvent:
    return HistoryEvent(EventKind.SET, value, error)


def got(value: int) -> HistoryEvent:
    return HistoryEvent(EventKind.GET, value)


def saw(value: int) -> HistoryEvent:
    return HistoryEvent(EventKind.SEEN, value)


GOOD = {
    "set before run": (((put(0),), (RUN, saw(0))), 0),
    "set after run": (((put(0, EBUSY),), (RUN, saw(1))), 1),
    "the same value after run": (((put(0), put(0)), (RUN, saw(0))), 0),
    "run between two sets": (((put(0), put(1, EBUSY), put(0)), (RUN, saw(0))), 0),
    "two writers, the other one last": (((put(0), put(0)), (put(1), got(0))), 0),
    "an unsupported bit whenever": (((put(2, EINVAL), put(0, EBUSY)), (RUN,)), 1),
    "nothing happened": ((), 1),
}
BAD = {
    "stored after the guest saw": (((put(0),), (RUN, saw(1))), 0),
    "told success, not stored": (((put(0),), (RUN, saw(1))), 1),
    "refused before any run": (((put(0, EBUSY),),), 1),
    "the same value refused": (((put(1, EBUSY),), (RUN, saw(1))), 1),
    "unlocked again": (((put(0, EBUSY), put(0)), (RUN,)), 0),
    "read what nobody wrote": (((put(0),), (got(2),)), 0),
    "a value that came back": (((put(0),), (got(0), got(1))), 0),
    "changed by a refused write": (((put(0, EBUSY),), (RUN, saw(1))), 0),
    "EBUSY for an unsupported bit": (((put(2, EBUSY),), (RUN,)), 1),
    "a guest that ran without a run": (((saw(1),),), 1),
}


@pytest.mark.parametrize(("threads", "final"), GOOD.values(), ids=GOOD)
def test_explained(threads: History, final: int) -> None:
    assert one_order(threads, final, reset=1, mask=1), show_history(threads, final)


@pytest.mark.parametrize(("threads", "final"), BAD.values(), ids=BAD)
def test_not_explained(threads: History, final: int) -> None:
    assert not one_order(threads, final, reset=1, mask=1), show_history(threads, final)


def test_ran_before() -> None:
    assert one_order(((put(0, EBUSY),),), 1, reset=1, mask=1, ran=True)
    assert not one_order(((put(0),),), 0, reset=1, mask=1, ran=True)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["SET", "GET", "RUN"]), st.integers(0, 5)), max_size=20))
def test_what_one_register_would_answer_is_explained(steps: list[tuple[int, str, int]]) -> None:
    value, ran = 3, False
    threads: list[list[HistoryEvent]] = [[], [], []]
    for who, what, number in steps:
        if what == "RUN":
            ran = True
            threads[who].append(RUN)
        elif what == "GET":
            threads[who].append(got(value))
        else:
            error = EINVAL if number & ~3 else EBUSY if ran and number != value else 0
            value = value if error else number
            threads[who].append(put(number, error))
    history: History = tuple(map(tuple, threads))
    assert one_order(history, value, reset=3, mask=3)
    assert not one_order(history, value ^ 4, reset=3, mask=3)
