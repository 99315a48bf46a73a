# SPDX-License-Identifier: GPL-2.0-only
"""One mutant: a change of one line of KVM's source that the kernel's command line turns on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HYPERCALLS = "arch/arm64/kvm/hypercalls.c"
SELECTED = "MUTANT"
"""The name, in an edit's code, of the condition that the command line selects this mutant."""


class Kind(StrEnum):
    """What a test needs besides the registers to detect a mutant. The value begins the names of its TOML files."""

    EVENT = "event"
    TOPOLOGY = "topology"
    HISTORY = "history"
    NEIGHBOUR = "neighbour"
    LEFT_BEHIND = "left_behind"
    EQUIVALENT = "equivalent"


class Position(StrEnum):
    """Where an edit's code goes: on a line before or after the anchor, or instead of the anchor."""

    BEFORE = "before"
    AFTER = "after"
    INSTEAD = "instead"


@dataclass(frozen=True)
class Edit:
    """``anchor`` is text that occurs once in ``function``, or once in the file if ``function`` is ""."""

    file: str
    function: str
    position: Position
    anchor: str
    code: str


@dataclass(frozen=True)
class Mutant:
    """``rule`` is the clause that the mutant breaks, or a section of a document if no clause covers it yet.

    ``missed`` is the reason if the suite does not detect the mutant, or "".
    """

    id: str
    kind: Kind
    breaks: str
    rule: str
    edits: tuple[Edit, ...]
    missed: str = ""


def mutant_of(row: Mapping[str, object], kind: Kind) -> Mutant:
    """The mutant of one [[mutant]] table. Raises KeyError if the table lacks a field."""
    also = row.get("also", [])
    assert isinstance(also, list)
    edits = tuple(_edit(each) for each in (row, *also))
    return Mutant(str(row["id"]), kind, str(row["breaks"]), str(row.get("rule", "")), edits, str(row.get("missed", "")))


def _edit(row: Mapping[str, object]) -> Edit:
    file, _, function = str(row["place"]).partition(":")
    position = next(each for each in Position if each.value in row)
    return Edit(file, function, position, str(row[position.value]), str(row["code"]))
