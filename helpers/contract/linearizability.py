# SPDX-License-Identifier: GPL-2.0-only
"""Checks whether the answers to several threads' calls on one register are possible in some order of the calls.

The method is the one of linearizability checkers (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993): it
searches for an order in which each thread's calls keep their order, and the contract allows every answer.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache


class EventKind(Enum):
    SET = "SET"
    GET = "GET"
    RUN = "RUN"
    SEEN = "the guest saw"


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One call and its answer. ``value`` was written or read by user space, or read by the guest."""

    kind: EventKind
    value: int = 0
    errno: int = 0

    def __str__(self) -> str:
        if self.kind is EventKind.RUN:
            return "RUN"
        error = f" {errno.errorcode.get(self.errno, self.errno)}" if self.errno else ""
        return f"{self.kind.value} {self.value:#x}{error}"


ThreadHistory = tuple[HistoryEvent, ...]
_State = tuple[int, bool]


def _step(event: HistoryEvent, state: _State, mask: int) -> _State | None:
    """The register's value and whether the VM has run, after ``event``. None if the answer is not allowed."""
    value, ran = state
    if event.kind is EventKind.RUN:
        return value, True
    if event.kind is EventKind.SEEN:
        return state if ran and event.value == value else None
    if event.kind is EventKind.GET:
        return state if event.errno == 0 and event.value == value else None
    locked = errno.EBUSY if ran and event.value != value else 0
    error = errno.EINVAL if event.value & ~mask else locked
    if event.errno != error:
        return None
    return (value if error else event.value), ran


@lru_cache(maxsize=4096)
def one_order(threads: tuple[ThreadHistory, ...], final: int, *, reset: int, mask: int, ran: bool = False) -> bool:
    """Whether the contract allows an order of all events that leaves ``final`` in the register."""
    start = (tuple(0 for _ in threads), (reset, ran))
    waiting, visited = [start], {start}
    while waiting:
        at, state = waiting.pop()
        if state[0] == final and all(n == len(t) for n, t in zip(at, threads, strict=True)):
            return True
        for i, thread in enumerate(threads):
            after = _step(thread[at[i]], state, mask) if at[i] < len(thread) else None
            if after is None:
                continue
            following = ((*at[:i], at[i] + 1, *at[i + 1 :]), after)
            if following not in visited:
                visited.add(following)
                waiting.append(following)
    return False


def show_history(threads: tuple[ThreadHistory, ...], final: int) -> str:
    lines = [f"thread {i}: " + ", ".join(map(str, t)) for i, t in enumerate(threads)]
    return "; ".join([*lines, f"afterwards the register reads {final:#x}"])
