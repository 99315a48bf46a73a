# SPDX-License-Identifier: GPL-2.0-only
"""The hypercalls: the bit that opens each, and the answer of each when open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.contract.registers import (
    FUNC_FEAT,
    PTP,
    PV_TIME,
    RFC_V3,
    STD,
    STD_HYP,
    TRNG,
    VENDOR_HYP,
    VENDOR_HYP_2,
    Dialect,
)
from helpers.smccc import NOT_SUPPORTED, U64

U32 = (1 << 32) - 1

CLOSED = (NOT_SUPPORTED, 0, 0, 0)
"""The answer of a call whose bit is clear (kvm_smccc_call_handler), and of an unknown function."""

TRNG_INVALID_PARAMETERS = (1 << 64) - 2

X = tuple[int, int, int, int]


@dataclass(frozen=True)
class Situation:
    """What an answer depends on: the registers' values by name, and the host's features."""

    dialect: Dialect
    values: dict[str, int]
    arch_counter: bool
    pv_time_ipa: int | None

    def open(self, register: str, bit: str) -> bool:
        """Whether the bit is set (False if the dialect lacks it)."""
        definition = self.dialect.register(register)
        mask = definition.bit(bit) if definition else None
        return bool(mask and self.values.get(register, 0) & mask)


Expect = Callable[[Situation], X | str]


@dataclass(frozen=True)
class Function:
    """One call with its arguments. ``gate`` is (register, bit) or None; ``answer`` gives x0..x3 when open.

    A string names an answer that is not fixed; suites/hypercalls checks its known properties.
    """

    name: str
    id: int
    args: tuple[int, ...]
    gate: tuple[str, str] | None
    answer: Expect
    rfc_gate: bool = True
    """Whether RFC v3 gates it too (it leaves the vendor's UID and features open)."""

    def gated(self, dialect: Dialect) -> tuple[str, str] | None:
        """The (register, bit) that opens it in ``dialect``."""
        return self.gate if dialect is not RFC_V3 or self.rfc_gate else None

    def expected(self, situation: Situation) -> X | str:
        """x0..x3 in ``situation``, or the name of a property."""
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


UPPER = 0xDEADBEEF_00000000
"""For the upper half of an argument or of x0, where KVM reads 32 bits."""
SMCCC_VERSION = 0x80000000
ARCH_FEATURES, PV_TIME_FEATURES_ID, PV_TIME_ST_ID, KVM_PTP_ID = 0x80000001, 0xC5000020, 0xC5000021, 0x86000001
WORKAROUNDS = (("WORKAROUND_1", 0x80008000), ("WORKAROUND_2", 0x80007FFF), ("WORKAROUND_3", 0x80003FFF))
TRNG_IDS = (0x84000050, 0x84000051, 0x84000052, 0x84000053, 0xC4000053)
_TRNG, _PV, _FEAT, _PTP = (STD, TRNG), (STD_HYP, PV_TIME), (VENDOR_HYP, FUNC_FEAT), (VENDOR_HYP, PTP)


def _lengths(most: int) -> tuple[int, ...]:
    """Entropy lengths (bits): the edges of each word, and lengths that are valid only if x1 is read as 32 bits."""
    edges = [n for width in (32, 64) for word in (1, 2, 3) for n in (width * word - 1, width * word, width * word + 1)]
    valid = sorted({0, 1, most, most + 1, *(n for n in edges if n <= most)})
    return (*valid, 256, 1 << 31, U32, 1 << 32, 1 << 32 | 1, 1 << 32 | most + 1, U64)


def _entropy(most: int, given: int) -> Expect:
    """KVM reads the length as 32 bits; a length of 0 succeeds with zeros (trng.c:kvm_trng_do_rnd)."""
    bits = given & U32
    if bits > most:
        return _fixed(TRNG_INVALID_PARAMETERS)
    return _named(f"entropy:{most // 3}:{bits}") if bits else _fixed(0)


def _trng() -> list[Function]:
    uuid = _fixed(0x00E0210D, 0xEB118443, 0x44527080, 0x4C5A4E55)
    rows = [Function("TRNG_VERSION", 0x84000050, (), _TRNG, _fixed(0x10000))]
    rows += [Function(f"TRNG_FEATURES.{i:#x}", 0x84000051, (i,), _TRNG, _fixed(0)) for i in TRNG_IDS]
    rows += [Function("TRNG_GET_UUID", 0x84000052, (), _TRNG, uuid)]
    for name, number, most in (("TRNG_RND32", 0x84000053, 96), ("TRNG_RND64", 0xC4000053, 192)):
        rows += [Function(f"{name}.{n:#x}", number, (n,), _TRNG, _entropy(most, n)) for n in _lengths(most)]
    return rows


def _table() -> tuple[Function, ...]:
    features, st = PV_TIME_FEATURES_ID, PV_TIME_ST_ID
    uid = _fixed(0xB66FB428, 0xE911C52E, 0x564BCAA9, 0x743A004D)
    return (
        *_trng(),
        Function("PV_TIME_FEATURES.PV_TIME_FEATURES", features, (features,), _PV, _pv_time_features),
        Function("PV_TIME_FEATURES.PV_TIME_ST", features, (st,), _PV, _pv_time_features),
        Function("PV_TIME_ST", st, (), _PV, _pv_time_st),
        Function("ARCH_FEATURES.PV_TIME_FEATURES", ARCH_FEATURES, (features,), _PV, _fixed(0)),
        Function("VENDOR_HYP_CALL_UID", 0x8600FF01, (), _FEAT, uid, rfc_gate=False),
        Function("KVM_FEATURES", 0x86000000, (), _FEAT, _features, rfc_gate=False),
        Function("KVM_PTP.VIRTUAL", KVM_PTP_ID, (0,), _PTP, _ptp),
        Function("KVM_PTP.PHYSICAL", KVM_PTP_ID, (1,), _PTP, _ptp),
        Function("KVM_PTP.VIRTUAL.upper_half", KVM_PTP_ID, (UPPER,), _PTP, _ptp),
        Function("KVM_PTP.PHYSICAL.upper_half", KVM_PTP_ID, (UPPER | 1,), _PTP, _ptp),
        Function("KVM_PTP.UNKNOWN_COUNTER", KVM_PTP_ID, (2,), _PTP, _fixed(*CLOSED)),
        Function("SMCCC_VERSION", 0x80000000, (), None, _named("smccc-version")),
        Function("ARCH_FEATURES.TRNG_VERSION", ARCH_FEATURES, (0x84000050,), None, _fixed(*CLOSED)),
        Function("ARCH_FEATURES.PV_TIME_ST", ARCH_FEATURES, (st,), None, _fixed(*CLOSED)),
        Function("ARCH_SOC_ID", 0x80000002, (0,), None, _fixed(*CLOSED)),
        Function("PSCI_VERSION", 0x84000000, (), None, _named("psci-version")),
        Function("PSCI_FEATURES.SMCCC_VERSION", 0x8400000A, (0x80000000,), None, _fixed(0)),
        *(Function(f"ARCH_FEATURES.{n}", ARCH_FEATURES, (i,), None, _named("constant")) for n, i in WORKAROUNDS),
        Function("DISCOVER_IMPL_VER", 0xC6000040, (), None, _fixed(*CLOSED)),
        Function("DISCOVER_IMPL_CPUS", 0xC6000041, (), None, _fixed(*CLOSED)),
        Function("UNKNOWN_STANDARD", 0x84000054, (), None, _fixed(*CLOSED)),
        Function("UNKNOWN_STANDARD_HYP", 0xC5000022, (), None, _fixed(*CLOSED)),
        Function("UNKNOWN_VENDOR_HYP", 0x86000005, (), None, _fixed(*CLOSED)),
    )


FUNCTIONS = _table()
GATED = tuple(f for f in FUNCTIONS if f.gate)
