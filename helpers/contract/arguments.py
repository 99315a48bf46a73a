# SPDX-License-Identifier: GPL-2.0-only
"""The feature queries with every argument, and unassigned function ids that are close to a service's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.contract.functions import (
    ARCH_FEATURES,
    CLOSED,
    FUNCTIONS,
    KVM_PTP_ID,
    PV_TIME_FEATURES_ID,
    PV_TIME_ST_ID,
    TRNG_IDS,
    U32,
    UPPER,
    WORKAROUNDS,
    Situation,
    X,
)
from helpers.contract.registers import PTP, PV_TIME, RFC_V3, STD, STD_HYP, TRNG, VENDOR_HYP
from helpers.smccc import U64

SUCCESS: X = (0, 0, 0, 0)
_SMC64, _FAST, _SVE_HINT = 1 << 30, 1 << 31, 1 << 16
_WORKAROUND_IDS = frozenset(i for _, i in WORKAROUNDS)
SERVICE_IDS = tuple(sorted({f.id for f in FUNCTIONS if f.gate} | {0x80000000, ARCH_FEATURES}))
"""Every function that KVM serves itself, without PSCI."""


def _near() -> dict[str, int]:
    """Each service's id with one change: of the width, the fast-call bit, the SVE hint, the owner or the number."""
    changes: tuple[tuple[str, Callable[[int], int]], ...] = (
        ("other_width", lambda i: i ^ _SMC64),
        ("yielding", lambda i: i ^ _FAST),
        ("sve_hint", lambda i: i | _SVE_HINT),
        ("next_owner", lambda i: i + (1 << 24)),
        ("previous_owner", lambda i: i - (1 << 24) & U32),
        ("next", lambda i: i + 1),
        ("previous", lambda i: i - 1),
    )
    near = {f"{i:#x}.{name}": change(i) for i in SERVICE_IDS for name, change in changes}
    near |= {"SOC_ID": 0x80000002, "SOC_ID64": 0xC0000002, "WORKAROUND_4": 0x80000004}
    near |= {f"PSCI_0_1.{i:#x}": i for i in range(0x95C1BA5E, 0x95C1BA62)}
    return {name: i for name, i in near.items() if i not in SERVICE_IDS and not is_psci(i)}


def is_psci(function: int) -> bool:
    """Whether an id is in PSCI's range (hypercalls.c:kvm_smccc_default_allowed)."""
    return function & ~_SMC64 & ~0x1F == 0x84000000


def is_architecture(function: int) -> bool:
    """Whether an id belongs to Arm's architecture calls, which no bitmap register enables."""
    return not function & 0x3F << 24


NEAR_MISSES = _near()
"""Ids by name for which KVM has no function, in a VM whose PSCI is 0.2 or later."""

OWNERS = {
    "ARCH": 0, "CPU": 1, "SIP": 2, "OEM": 3, "STANDARD": 4, "STANDARD_HYP": 5, "VENDOR_HYP": 6, "OWNER_7": 7,
    "TRUSTED_APP": 48, "TRUSTED_OS": 50,
}  # fmt: skip
"""Arm DEN0028, owning entities."""


def unassigned(owner: str, width: int) -> list[int]:
    """The ids of an owner without a function: the first function numbers and those from 0xff00 on.

    ``width`` is 32 or 64, for SMC32 or SMC64.
    """
    base = 1 << 31 | (_SMC64 if width == 64 else 0) | OWNERS[owner] << 24
    ids = (base | n for n in (*range(0x80), *range(0xFF00, 0xFF20)))
    return [i for i in ids if i not in SERVICE_IDS and i not in _WORKAROUND_IDS and not is_psci(i)]


UNASSIGNED = tuple(sorted({*NEAR_MISSES.values(), *(i for o in OWNERS for w in (32, 64) for i in unassigned(o, w))}))
"""Every id without a function that a test calls."""

_IDS = tuple(sorted({*SERVICE_IDS, *NEAR_MISSES.values(), *_WORKAROUND_IDS}))
ARGUMENTS = tuple(
    sorted({*_IDS, *(UPPER | i for i in _IDS), *range(4), *(1 << b for b in range(64)), U32, U32 - 1, U64, U64 - 1})
)
"""The arguments of a feature query: ids (also with bits set in the upper half), single bits, and extreme values."""


@dataclass(frozen=True)
class Query:
    """A function with one argument. ``answers`` gives every acceptable x0..x3, or none if other tests check them."""

    name: str
    id: int
    answers: Callable[[Situation, int], tuple[X, ...]]


def _arch_features(s: Situation, argument: int) -> tuple[X, ...]:
    if argument & U32 in _WORKAROUND_IDS:
        return ()
    on = argument & U32 == PV_TIME_FEATURES_ID and s.open(STD_HYP, PV_TIME)
    return (SUCCESS if on else CLOSED,)


def _pv_time_features(s: Situation, argument: int) -> tuple[X, ...]:
    offered = argument & U32 in (PV_TIME_FEATURES_ID, PV_TIME_ST_ID)
    return (SUCCESS if offered and s.open(STD_HYP, PV_TIME) and s.pv_time_ipa is not None else CLOSED,)


def _trng_features(s: Situation, argument: int) -> tuple[X, ...]:
    if not s.open(STD, TRNG):
        return (CLOSED,)
    if argument in TRNG_IDS:
        return (SUCCESS,)
    # In the RFC, TRNG_FEATURES checks the gate of its argument, which is open for every unknown id.
    return (SUCCESS, CLOSED) if s.dialect is RFC_V3 else (CLOSED,)


def _ptp(s: Situation, argument: int) -> tuple[X, ...]:
    served = argument & U32 in (0, 1) and s.arch_counter and s.open(VENDOR_HYP, PTP)
    return () if served else (CLOSED,)


QUERIES = (
    Query("ARCH_FEATURES", ARCH_FEATURES, _arch_features),
    Query("PV_TIME_FEATURES", PV_TIME_FEATURES_ID, _pv_time_features),
    Query("TRNG_FEATURES", 0x84000051, _trng_features),
    Query("KVM_PTP", KVM_PTP_ID, _ptp),
)
