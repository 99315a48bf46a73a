# SPDX-License-Identifier: GPL-2.0-only
"""Round trips, operations and VMs of the chapters that make the same calls in each run do not grow unnoticed.

counts.json has the counts on debian:stable. If more are wanted, write it again with the command in ``COMMAND``.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.sessions import KERNEL, run_pytest

COMMITTED = Path(__file__).with_name("counts.json")
CHAPTERS = (
    "access",
    "capability",
    "defaults",
    "filter",
    "hypercalls",
    "limits",
    "lock",
    "migration",
    "neighbours",
    "run",
)
ARGUMENTS = (KERNEL, "-p", "tools.counts", *(f"suites/{chapter}" for chapter in CHAPTERS))
COMMAND = f"python -m pytest {' '.join(ARGUMENTS)} --counts {COMMITTED.relative_to(Path(__file__).parents[2])}"
MARGIN = 1.05
"""A later kernel of the same Debian suite may list a few more registers."""


def test_counts_do_not_grow(tmp_path: Path) -> None:
    status, text = run_pytest(*ARGUMENTS, "--counts", str(tmp_path / "counts.json"), f"--reports={tmp_path}")
    assert status == 0, text
    now, committed = (json.loads(path.read_text()) for path in (tmp_path / "counts.json", COMMITTED))
    assert set(now) == set(committed) == set(CHAPTERS)
    grown = {
        f"{chapter} {what}": (committed[chapter][what], count)
        for chapter, counts in now.items()
        for what, count in counts.items()
        if count > committed[chapter][what] * MARGIN
    }
    assert not grown, f"more than before; if that is right, run: {COMMAND}"
