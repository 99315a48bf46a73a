# SPDX-License-Identifier: GPL-2.0-only
"""The clauses that released kernels are known to break, so that a run reports a known deviation there."""

from __future__ import annotations

from helpers.results.records import KnownDeviation

DEVIATIONS = (
    KnownDeviation(
        "empty-filter-at-base-0",
        "FILTER-14",
        "The end of a range, base + nr_functions - 1, wraps to 0xffffffff for an empty range at base 0, which the"
        " check of wrapping missed before the fix of 2026: the range overlaps the reserved ones (EEXIST). Nothing is"
        " installed either way.",
        "https://git.kernel.org/linus/64dc6f1db7e6",
    ),
)
"""helpers/discovery/deviations.py detects whether a kernel has a deviation.

A deviation excuses any failed assertion of a test of its clause. Each such test must therefore check this clause only,
and must fail on a kernel with the deviation.
"""
