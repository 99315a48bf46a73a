# SPDX-License-Identifier: GPL-2.0-only
"""Compares x0 to x3 with exact values or with limits."""

from __future__ import annotations

from helpers.contract.check import Comparison
from helpers.contract.functions import Ranges, X
from helpers.smccc import show_registers


def compare_x(comparison: Comparison, what: str, expected: X | Ranges, x: tuple[int, ...]) -> None:
    """The registers must have the values, or be within the limits."""
    if isinstance(expected, Ranges):
        comparison.that(expected.holds(x), what, str(expected), show_registers(x))
    else:
        comparison.x(what, expected, x)
