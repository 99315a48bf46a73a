# SPDX-License-Identifier: GPL-2.0-only
"""Lists of registers in texts."""

from __future__ import annotations

from collections.abc import Iterable


def ranges(names: Iterable[str]) -> tuple[str, ...]:
    """The names, with each run such as R[3], R[4], R[5] as R[3..5]."""
    runs: list[tuple[str, int, int]] = []
    for name in names:
        base, bracket, index = name.removesuffix("]").partition("[")
        number = int(index) if index.isdecimal() else 0
        if bracket and runs and (runs[-1][0], runs[-1][2]) == (base + bracket, number - 1):
            runs[-1] = (runs[-1][0], runs[-1][1], number)
        else:
            runs.append((base + bracket if bracket else name, number, number))
    return tuple(
        base if not base.endswith("[") else f"{base}{first}]" if first == last else f"{base}{first}..{last}]"
        for base, first, last in runs
    )
