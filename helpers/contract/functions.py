# SPDX-License-Identifier: GPL-2.0-only
"""The hypercalls: the bit that enables each one, and its answer if the bit is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from helpers.contract.registers import RFC_V3, VENDOR_HYP, VENDOR_HYP_2, Dialect
from helpers.contract.service_files import CONDUITS, TABLES, FunctionEntry, Limits, ServiceEntry, answer_of
from helpers.smccc import NOT_SUPPORTED, Conduit

U32 = (1 << 32) - 1

CLOSED = (NOT_SUPPORTED, 0, 0, 0)
"""The answer of a call whose bit is clear (kvm_smccc_call_handler), and of an unknown function."""

TRNG_INVALID_PARAMETERS = (1 << 64) - 2

X = tuple[int, int, int, int]


@dataclass(frozen=True)
class Situation:
    """The inputs of an answer: the registers' values by name, and the host's features."""

    dialect: Dialect
    values: dict[str, int]
    arch_counter: bool
    pv_time_ipa: int | None

    def open(self, register: str, bit: str) -> bool:
        """Whether the bit is set (False if the dialect lacks it)."""
        definition = self.dialect.register(register)
        mask = definition.bit(bit) if definition else None
        return bool(mask and self.values.get(register, 0) & mask)


@dataclass(frozen=True)
class Ranges:
    """The smallest and the largest value of x0 to x3."""

    limits: Limits

    @property
    def exact(self) -> bool:
        """Whether each register has one possible value."""
        return all(low == high for low, high in self.limits)

    def holds(self, x: tuple[int, ...]) -> bool:
        """Whether x0 to x3 are within the limits."""
        return all(low <= value <= high for (low, high), value in zip(self.limits, x, strict=True))

    def __str__(self) -> str:
        return " ".join(f"x{n}={low:#x}..{high:#x}" for n, (low, high) in enumerate(self.limits))


Answer = X | str | Ranges
Expect = Callable[[Situation], Answer]


@dataclass(frozen=True)
class Function:
    """One call with its arguments. ``gate`` is (register, bit) or None; ``answer`` gives x0..x3 if it is set.

    A string names an answer that is not fixed; suites/hypercalls checks its known properties. helpers/contract/
    services.toml and the files of --services have the functions.
    """

    name: str
    id: int
    args: tuple[int, ...]
    gate: tuple[str, str] | None
    answer: Expect
    rfc_gate: bool = True
    """Whether the bit also enables it in RFC v3, where the vendor's UID and KVM_FEATURES need no bit."""
    conduits: tuple[str, ...] = CONDUITS
    added: bool = False
    """Whether a file of --services has it."""

    def gated(self, dialect: Dialect) -> tuple[str, str] | None:
        """The (register, bit) that gates it in ``dialect``."""
        return self.gate if dialect is not RFC_V3 or self.rfc_gate else None

    def expected(self, situation: Situation, conduit: Conduit = Conduit.HVC) -> Answer:
        """x0..x3 in ``situation``, their limits, or the name of a property."""
        if conduit.instruction not in self.conduits:
            return CLOSED
        gate = self.gated(situation.dialect)
        if gate is not None and not situation.open(*gate):
            return CLOSED
        return self.answer(situation)


def _fixed(*x: int) -> Expect:
    full = (x[0], *x[1:], *([0] * (4 - len(x))))
    return lambda _: (full[0], full[1], full[2], full[3])


def _named(name: str) -> Expect:
    return lambda _: name


def _features(s: Situation) -> X:
    if s.dialect is RFC_V3:
        return 1 | s.values[VENDOR_HYP] << 1, 0, 0, 0
    return s.values[VENDOR_HYP], 0, s.values.get(VENDOR_HYP_2, 0), 0


def _ptp(s: Situation) -> X | str:
    return "ptp" if s.arch_counter else CLOSED


def _pv_time_features(s: Situation) -> X:
    return (0, 0, 0, 0) if s.pv_time_ipa is not None else CLOSED


def _pv_time_st(s: Situation) -> X:
    return CLOSED if s.pv_time_ipa is None else (s.pv_time_ipa, 0, 0, 0)


_RULES: dict[str, Expect] = {
    "features": _features, "ptp": _ptp, "pv-time-features": _pv_time_features, "pv-time-st": _pv_time_st,
    "closed": lambda _: CLOSED,
}  # fmt: skip


def _entropy(most: int, given: int) -> Expect:
    """KVM reads the length as 32 bits; a length of 0 succeeds with zeros (trng.c:kvm_trng_do_rnd)."""
    bits = given & U32
    if bits > most:
        return _fixed(TRNG_INVALID_PARAMETERS)
    return _named(f"entropy:{most // 3}:{bits}") if bits else _fixed(0)


def _answer(entry: FunctionEntry, args: tuple[int, ...]) -> Expect:
    answer = answer_of(entry)
    if not isinstance(answer, str):
        ranges = Ranges(answer)
        return _fixed(*(low for low, _ in answer)) if ranges.exact else lambda _: ranges
    if answer.startswith("entropy"):
        return _entropy(int(answer.partition(":")[2]), args[0])
    return _RULES.get(answer) or _named(answer)


UPPER = 0xDEADBEEF_00000000
"""Bits for the upper half of an argument or of x0 of which KVM reads only 32 bits."""
SMCCC_VERSION = 0x80000000
ARCH_FEATURES, PV_TIME_FEATURES_ID, PV_TIME_ST_ID, KVM_PTP_ID = 0x80000001, 0xC5000020, 0xC5000021, 0x86000001
WORKAROUNDS = (("WORKAROUND_1", 0x80008000), ("WORKAROUND_2", 0x80007FFF), ("WORKAROUND_3", 0x80003FFF))
TRNG_IDS = (0x84000050, 0x84000051, 0x84000052, 0x84000053, 0xC4000053)


def _rows(service: ServiceEntry, entry: FunctionEntry) -> Iterator[Function]:
    gate = (service.register, service.name) if service.register else None
    rfc_gate = RFC_V3.name in entry.closed_in
    for args in ((value,) for value in entry.each) if entry.each else (entry.arguments,):
        name = f"{entry.name}.{args[0]:#x}" if entry.each else entry.name
        yield Function(name, entry.id, args, gate, _answer(entry, args), rfc_gate, entry.conduits, service.added)


FUNCTIONS = tuple(row for service in TABLES.services for entry in service.function for row in _rows(service, entry))
GATED = tuple(f for f in FUNCTIONS if f.gate)
ADDED = tuple(f for f in FUNCTIONS if f.added)
"""The functions of --services."""
