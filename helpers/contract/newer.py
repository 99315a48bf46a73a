# SPDX-License-Identifier: GPL-2.0-only
"""Classifies the bits and registers of a kernel: as in the tables, unknown to the tables, or contradicting the tables.

The documented rule is that a register's reset value is its upper limit (fw-pseudo-registers.rst). For a register that
follows this rule in the tables, a bit is new if it is accepted and in the reset value. The reset value of VENDOR_HYP_2
and of registers that the tables lack may be smaller, so there a bit is new if it is always accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_

from helpers.contract.registers import Register
from helpers.results.records import UnknownService
from helpers.smccc import SMCCC_1_1, U64

LATEST_PSCI = 0x10003
"""The latest version of PSCI in the tables (psci.c)."""


@dataclass(frozen=True)
class Measured:
    """One register's answers in several new VMs.

    ``resets`` are the reset values, None if the read failed. ``accepted`` are the accepted single bits, a bitmap for
    each VM and way of writing them (alone, beside other bits, in another order). ``together``: whether one write with
    all of the bits that are always accepted succeeded.
    """

    resets: tuple[int | None, ...]
    accepted: tuple[int, ...]
    together: bool = True


@dataclass(frozen=True)
class Contradiction:
    """A measurement that the tables or the documented rules do not allow, and the clause that it breaks."""

    clause: str
    text: str


@dataclass(frozen=True)
class Classified:
    """A register with the bits that this kernel adds, and what contradicts the tables."""

    register: Register
    contradictions: tuple[Contradiction, ...]


def classify(register: Register, measured: Measured, *, known: bool) -> Classified:
    """``register`` is from the tables. If the tables lack it (``known`` is False), it is a Register without bits."""
    always, ever = reduce(and_, measured.accepted), reduce(or_, measured.accepted)
    resets = [value or 0 for value in measured.resets]
    in_reset, ever_reset = reduce(and_, resets), reduce(or_, resets)
    limited = known and register.reset == register.mask
    steady = always if measured.together else 0
    new = steady & ~register.mask
    if limited or always == U64:
        new &= in_reset
    texts = (
        ("DEFAULT-1", None in measured.resets, "cannot be read in a new VM"),
        ("DEFAULT-1", known and (in_reset ^ register.reset) & register.mask, "has another reset value than the tables"),
        ("DEFAULT-1", in_reset ^ ever_reset, "has different reset values in new VMs"),
        ("DEFAULT-1", ever_reset & ~always, "has bits in its reset value that a write refuses"),
        ("LIMIT-1", known and register.mask & ~always, "refuses bits that the tables have"),
        ("LIMIT-1", not measured.together and ever, "refuses together the bits that it accepts alone"),
        ("LIMIT-2", ever & ~always & ~register.mask, "accepts bits in some writes and refuses them in others"),
        ("LIMIT-2", limited and steady & ~in_reset & ~register.mask, "accepts bits that its reset value lacks"),
        ("LIMIT-2", always == U64, "refuses no bit"),
    )
    wrong = tuple(Contradiction(clause, _text(register, bits, text)) for clause, bits, text in texts if bits)
    reset = register.reset | (in_reset & new if known else in_reset)
    return Classified(replace(register, unknown=new, reset=reset), wrong)


def _text(register: Register, bits: int | bool, text: str) -> str:
    shown = f" ({bits:#x})" if not isinstance(bits, bool) else ""
    return f"{register.name} ({register.id:#x}) {text}{shown}"


def unknown_services(
    registers: Iterable[Register], known_ids: Iterable[int], others: Iterable[str], psci: int, smccc: int
) -> tuple[UnknownService, ...]:
    """Everything that the tables lack: bits, registers without bits, ``others`` (names), and versions."""
    ids = frozenset(known_ids)
    services: list[UnknownService] = []
    for register in registers:
        bits = [bit for bit in range(64) if register.unknown >> bit & 1]
        services += [UnknownService(f"{register.name}:{bit}", f"{register.name} bit {bit}") for bit in bits]
        if register.id not in ids and not bits:
            services.append(UnknownService(register.name, f"register {register.name}"))
    services += [UnknownService(name, f"register {name}") for name in others]
    versions = (("PSCI", psci, LATEST_PSCI), ("SMCCC", smccc, SMCCC_1_1))
    shown = ((name, f"{version >> 16}.{version & 0xFFFF}") for name, version, latest in versions if version > latest)
    return (*services, *(UnknownService(f"{name}:{text}", f"{name} {text}") for name, text in shown))
