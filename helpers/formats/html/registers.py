# SPDX-License-Identifier: GPL-2.0-only
"""The 64 bits of each register on each subject (supported, set at reset, reserved), with differences marked."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.results.columns import Column
from helpers.results.records import RegisterInfo


@dataclass(frozen=True)
class RegisterRow:
    """A register on one subject, None if the subject lacks it; ``differs`` compares it with the first subject."""

    subject: str
    register: RegisterInfo | None
    differs: bool


@dataclass(frozen=True)
class RegisterTable:
    """A register on all subjects. ``register`` is the register of the first subject that has it."""

    register: RegisterInfo
    rows: tuple[RegisterRow, ...]


def register_tables(columns: tuple[Column, ...]) -> tuple[RegisterTable, ...]:
    """One table for each register, a row for each subject."""
    infos = [(column.name, column.verdict.info.registers) for column in columns]
    measured = [(subject, {each.name: each for each in registers}) for subject, registers in infos if registers]
    names = dict.fromkeys(name for _, registers in measured for name in registers)
    return tuple(_table([(subject, registers.get(name)) for subject, registers in measured]) for name in names)


def _table(entries: list[tuple[str, RegisterInfo | None]]) -> RegisterTable:
    rows = tuple(RegisterRow(subject, each, each != entries[0][1]) for subject, each in entries)
    return RegisterTable(next(each for _, each in entries if each), rows)
