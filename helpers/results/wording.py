# SPDX-License-Identifier: GPL-2.0-only
"""Lists of registers in texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NUMBERED = re.compile(r"(.*?)(\d+)(_EL\d|\])")
_SHORTEST = 3
"""The fewest names that are written as a range."""


def ranges(names: Iterable[str]) -> tuple[str, ...]:
    """The names, with each run such as R3_EL1, R4_EL1, R5_EL1 as R3..5_EL1."""
    runs: list[list[str]] = []
    for name in names:
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return tuple(text for run in runs for text in _texts(run))


def _follows(one: str, other: str) -> bool:
    before, after = _NUMBERED.fullmatch(one), _NUMBERED.fullmatch(other)
    return bool(before and after and (before[1], int(before[2]) + 1, before[3]) == (after[1], int(after[2]), after[3]))


def _texts(run: list[str]) -> Iterator[str]:
    first, last = _NUMBERED.fullmatch(run[0]), _NUMBERED.fullmatch(run[-1])
    if len(run) < _SHORTEST or not (first and last):
        yield from run
    else:
        yield f"{first[1]}{first[2]}..{last[2]}{last[3]}"
