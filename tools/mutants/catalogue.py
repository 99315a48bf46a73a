# SPDX-License-Identifier: GPL-2.0-only
"""All mutants, from the TOML files in this folder. A mutant's number on the command line is its position, from 1."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tools.mutants.mutant import Kind, Mutant, mutant_of


def _table(kind: Kind) -> tuple[Mutant, ...]:
    text = Path(__file__).with_name(f"{kind.value}.toml").read_text("utf-8")
    return tuple(mutant_of(row, kind) for row in tomllib.loads(text)["mutant"])


BY_KIND: dict[Kind, tuple[Mutant, ...]] = {kind: _table(kind) for kind in Kind}
MUTANTS: tuple[Mutant, ...] = tuple(each for mutants in BY_KIND.values() for each in mutants)
