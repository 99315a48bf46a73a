# SPDX-License-Identifier: GPL-2.0-only
"""The gate tier: a part of the suite that checks every clause and detects every planted fault.

faults/tier.py chooses its tests from a proof and writes gate_tier.toml.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from helpers.errors import UsageError
from helpers.results.records import Tier

FULL, GATE = "full", "gate"
"""The values of --tier."""
TIER_FILE = Path(__file__).with_name("gate_tier.toml")
REGENERATE = "kvm-hvc-conformance prove, then kvm-hvc-conformance prove --tier-from reports"
"""The commands that write it."""

Detections = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By dialect and test: the planted faults that the test detects."""


def read_tier(path: Path = TIER_FILE) -> Tier:
    """The gate tier in ``path``, whose tables have the type Detections. Raises UsageError if there is none."""
    try:
        tables: Detections = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"The gate tier has no list of tests: {path} is missing", cure=f"Run {REGENERATE}") from None
    tests = tuple(sorted({test for table in tables.values() for test in table}))
    faults: dict[str, dict[str, tuple[int, ...]]] = {dialect: {} for dialect in tables}
    for dialect, table in tables.items():
        for number, test in enumerate(tests):
            for fault in table.get(test, ()):
                faults[dialect][fault] = (*faults[dialect].get(fault, ()), number)
    return Tier(GATE, tests, faults)
