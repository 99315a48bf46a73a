# SPDX-License-Identifier: GPL-2.0-only
"""Reads the results of the kernel's own selftests: tools.peers writes the files, docs/mutants.md shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

FAULTS_NAME, MUTANTS_NAME = "faults", "mutants"
_CONTROL = "none"
_PASS, _SKIP = "0", "4"
"""Exit statuses of a selftest."""

Statuses = dict[str, dict[str, str]]
"""By fault or mutant, with "none" for the control: the status of each selftest, "0" if it passed."""


def peers_file(folder: Path, what: str) -> Path:
    """The file of one set, FAULTS_NAME or MUTANTS_NAME."""
    return folder / f"peers-{what}.json"


def read_statuses(path: Path) -> Statuses:
    """The statuses so far; none if the file does not exist."""
    statuses: Statuses = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return statuses


def noticing(name: str, statuses: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The tests that fail on NAME and pass on the control. Tests that fail on the control are ignored."""
    control = statuses.get(_CONTROL, {})
    return [
        test
        for test, status in statuses[name].items()
        if status not in (_PASS, _SKIP) and control.get(test, _PASS) == _PASS
    ]
