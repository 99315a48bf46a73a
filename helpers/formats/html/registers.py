# SPDX-License-Identifier: GPL-2.0-only
"""The 64 bits of each register on each subject: supported, set at reset, reserved; differences are marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from helpers.results.columns import Column
from helpers.results.records import RegisterInfo


@dataclass(frozen=True)
class RegisterRow:
    """A register on one subject, None if it has no such register; ``differs`` from that of the first subject."""

    subject: str
    register: RegisterInfo | None
    differs: bool


@dataclass(frozen=True)
class RegisterTable:
    """A register on all subjects. ``register`` is that of the first subject that has it."""

    register: RegisterInfo
    rows: tuple[RegisterRow, ...]


def register_tables(columns: tuple[Column, ...]) -> tuple[RegisterTable, ...]:
    """One table for each register, a row for each subject."""
    measured = [(column.name, column.verdict.info.registers) for column in columns if column.verdict.info.registers]
    names = dict.fromkeys(each.name for _, values in measured for each in values)
    return tuple(_table([(subject, _named(values, name)) for subject, values in measured]) for name in names)


def _named(values: Iterable[RegisterInfo], name: str) -> RegisterInfo | None:
    return next((each for each in values if each.name == name), None)


def _table(entries: list[tuple[str, RegisterInfo | None]]) -> RegisterTable:
    rows = tuple(RegisterRow(subject, each, each != entries[0][1]) for subject, each in entries)
    return RegisterTable(next(each for _, each in entries if each), rows)
