# SPDX-License-Identifier: GPL-2.0-only
"""The services' truth table: the answer of each hypercall to a guest, for each bitmap of its register."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from helpers.results.columns import Column
from helpers.results.records import SMC_NOT_SERVED, ServiceInfo


@dataclass(frozen=True)
class ServiceTable:
    """The functions of one register (empty: not gated), and the subjects with the same answers."""

    register: str
    functions: tuple[ServiceInfo, ...]
    subjects: tuple[str, ...]

    def smc(self, service: ServiceInfo) -> str:
        """The answers by SMC, compared with those by HVC; "" if they were not measured."""
        if not service.smc_default:
            return ""
        if service.smc_default == SMC_NOT_SERVED:
            return "not served"
        if (service.smc_default, service.smc_answers) == (service.default, service.answers):
            return "same"
        bitmaps = (f"{bitmap:#x}: {answer}" for bitmap, answer in service.smc_answers)
        return "; ".join((f"new VM: {service.smc_default}", *bitmaps))

    @property
    def bitmaps(self) -> tuple[int, ...]:
        """The bitmaps that were written to the register."""
        return tuple(dict.fromkeys(bitmap for each in self.functions for bitmap, _ in each.answers))


def service_tables(columns: tuple[Column, ...]) -> tuple[ServiceTable, ...]:
    """A table for each register and each set of answers; functions without a register come last."""
    names = dict.fromkeys(each.register for column in columns for each in column.verdict.info.services)
    return tuple(table for name in sorted(names, key=lambda name: not name) for table in _tables(columns, name))


def _tables(columns: tuple[Column, ...], register: str) -> Iterator[ServiceTable]:
    groups: dict[tuple[ServiceInfo, ...], list[str]] = {}
    for column in columns:
        functions = tuple(each for each in column.verdict.info.services if each.register == register)
        if functions:
            groups.setdefault(functions, []).append(column.name)
    return (ServiceTable(register, functions, tuple(subjects)) for functions, subjects in groups.items())
