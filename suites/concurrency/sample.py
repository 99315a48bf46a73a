# SPDX-License-Identifier: GPL-2.0-only
"""How often a race must be met: sample sizes for one probability of detection, from measured rates.

A rate is the share of the chances at which a planted fault was detected, on Debian's 6.12 in QEMU with two processors
(faults/of_vms.py, RACES). What counts as a chance depends on the race. It can be counted on any host, fast or slow.
"""

from __future__ import annotations

import math

DETECTION = 0.99
"""Probability to detect a planted race in one run, on two processors."""
MARGIN, WIDE_MARGIN = 3, 6
"""A kernel's window can be shorter than the planted one, so a third of the measured rate is used.

The sixth part of NO_LOCK: a kernel is interrupted less often than the planted fault. TORN has a margin of 1: the
planted fault is the shortest window that a kernel can have.
"""


def chances(rate: float, tests: int = 1, *, margin: float = MARGIN) -> int:
    """The least number of chances in each of ``tests`` tests of the same code, for DETECTION in all of them."""
    return math.ceil(math.log(1 - DETECTION) / math.log(1 - rate / margin) / tests)


LOCK_DROPPED = 0.071
"""Of race-lock-dropped: per round in which a run falls among the writes, all threads on one core (464 of 6,529)."""
NO_LOCK = 0.056
"""Of race-no-lock: the same on two cores (534 of 9,535)."""
LOCK_LATE = 0.8
"""Of race-lock-late: per round in which the run of a guest falls among the writes, on two cores (5 of 6)."""
CROWD = 0.3
"""Of race-check-then-store: the same with three writers and three runners, on one core (88 of 400)."""
READ_ONCE = 0.10
"""Of race-value-twice: per write with another result than the one before it, so a change came in between."""
RANGE_READ_ONCE = 0.11
"""Of race-range-twice: the same."""
ACTION_READ_ONCE = 0.13
"""Of race-filter-twice: per filter that was taken."""
TORN = 0.001
"""Of race-torn-write: per read beside writes (7 of 7500)."""
