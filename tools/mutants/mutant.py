# SPDX-License-Identifier: GPL-2.0-only
"""One mutant: a change of one line of KVM's source that the kernel's command line turns on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HYPERCALLS = "arch/arm64/kvm/hypercalls.c"
SELECTED = "MUTANT"
"""In an edit's code: whether the command line selected this mutant."""


class Kind(StrEnum):
    """What a mutant needs besides the registers to show itself. The value is the name of its table."""

    EVENT = "event"
    TOPOLOGY = "topology"
    HISTORY = "history"
    NEIGHBOUR = "neighbour"
    LEFT_BEHIND = "left_behind"
    EQUIVALENT = "equivalent"


class Position(StrEnum):
    """Where an edit's code goes: on a separate line beside the anchor's lines, or in the anchor's place."""

    BEFORE = "before"
    AFTER = "after"
    INSTEAD = "instead"


@dataclass(frozen=True)
class Edit:
    """``anchor`` is text that occurs once in ``function`` ("": in the file)."""

    file: str
    function: str
    position: Position
    anchor: str
    code: str


@dataclass(frozen=True)
class Mutant:
    """``rule`` is the clause that it contradicts, or the section of a document that no clause has yet.

    ``missed`` is the reason if the suite does not detect it, or "".
    """

    id: str
    kind: Kind
    breaks: str
    rule: str
    edits: tuple[Edit, ...]
    missed: str = ""


def mutant_of(row: Mapping[str, object], kind: Kind) -> Mutant:
    """The mutant of a row of a table. Raises KeyError if the row lacks a field."""
    also = row.get("also", [])
    assert isinstance(also, list)
    edits = tuple(_edit(each) for each in (row, *also))
    return Mutant(str(row["id"]), kind, str(row["breaks"]), str(row.get("rule", "")), edits, str(row.get("missed", "")))


def _edit(row: Mapping[str, object]) -> Edit:
    file, _, function = str(row["place"]).partition(":")
    position = next(each for each in Position if each.value in row)
    return Edit(file, function, position, str(row[position.value]), str(row["code"]))
