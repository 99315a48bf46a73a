# SPDX-License-Identifier: GPL-2.0-only
"""How often a race must occur in a test: sample sizes for one probability of detection, from measured rates.

A rate is the share of chances in which a planted fault was detected, on Debian's 6.12 in QEMU with two processors
(faults/of_vms.py, RACES). What counts as a chance depends on the race. Any host, fast or slow, can count chances.
"""

from __future__ import annotations

import math

DETECTION = 0.99
"""Probability of detecting a planted race in one run, on two processors."""
MARGIN, WIDE_MARGIN = 3, 6
"""Divisors of the measured rates. A kernel's window can be shorter than the planted one, so MARGIN divides most rates.

WIDE_MARGIN divides NO_LOCK: a kernel is interrupted less often than the planted fault. TORN is not divided: no kernel
has a shorter window than the planted fault.
"""


def chances(rate: float, tests: int = 1, *, margin: float = MARGIN) -> int:
    """The least number of chances in each of ``tests`` tests of the same code, for DETECTION in all together."""
    return math.ceil(math.log(1 - DETECTION) / math.log(1 - rate / margin) / tests)


LOCK_DROPPED = 0.071
"""Rate of race-lock-dropped, per round with KVM_RUN among the writes, all threads on one core (464 of 6,529)."""
NO_LOCK = 0.056
"""Rate of race-no-lock, per such round on two cores (534 of 9,535)."""
LOCK_LATE = 0.8
"""Rate of race-lock-late, per round with KVM_RUN of a guest among the writes, on two cores (5 of 6)."""
CROWD = 0.3
"""Rate of race-check-then-store, per such round with three writers and three runners, on one core (88 of 400)."""
READ_ONCE = 0.10
"""Rate of race-value-twice, per write whose result differs from the previous one: the memory changed in between."""
RANGE_READ_ONCE = 0.11
"""Rate of race-range-twice, per filter whose base differs from the previous one."""
ACTION_READ_ONCE = 0.13
"""Rate of race-filter-twice, per filter that KVM accepted."""
TORN = 0.00018
"""Rate of race-torn-write, per read during writes (10 of 55,260)."""
