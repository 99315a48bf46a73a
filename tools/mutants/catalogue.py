# SPDX-License-Identifier: GPL-2.0-only
"""All mutants, from the TOML files in this folder. A mutant's number on the command line is its position, from 1.

A kind has one or more files: event.toml, event_2.toml and so on. So each stays short enough to read.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tools.mutants.mutant import Kind, Mutant, mutant_of


def _table(kind: Kind) -> tuple[Mutant, ...]:
    files = sorted(Path(__file__).parent.glob(f"{kind.value}*.toml"))
    return tuple(mutant_of(row, kind) for file in files for row in tomllib.loads(file.read_text("utf-8"))["mutant"])


BY_KIND: dict[Kind, tuple[Mutant, ...]] = {kind: _table(kind) for kind in Kind}
MUTANTS: tuple[Mutant, ...] = tuple(each for mutants in BY_KIND.values() for each in mutants)
