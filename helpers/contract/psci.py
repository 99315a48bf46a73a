# SPDX-License-Identifier: GPL-2.0-only
"""Arguments of PSCI calls, and the calls that shut down or reset the system (Arm DEN0022, chapter 5; psci.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from helpers.contract.neighbours import INVALID_PARAMETERS, PSCI_0_2
from helpers.smccc import U64
from helpers.uapi import kvm as uapi

CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO = 0x84000001, 0x84000002, 0x84000003, 0x84000004
SYSTEM_SUSPEND = 0x8400000E
PSCI_FEATURES = 0x8400000A
BIT_64 = 1 << 30
"""Set in the id of a function that takes 64-bit arguments (Arm DEN0028, function identifiers)."""
MPIDR_AFFINITY = 0xFF_00FF_FFFF
"""Aff3 to Aff0. The other bits of a target are reserved."""
ON, OFF = 0, 1
"""AFFINITY_INFO's answers."""


def mpidr(index: int) -> int:
    """The affinity fields of the vCPU with this id (sys_regs.c:reset_mpidr)."""
    return index & 0xF | (index >> 4 & 0xFF) << 8 | (index >> 12 & 0xFF) << 16


def affinity_info(cpus: Mapping[int, bool], target: int, level: int) -> int:
    """x0 (psci.c:kvm_psci_vcpu_affinity_info). ``cpus``: whether the vCPU with these affinity fields is on."""
    if target & ~MPIDR_AFFINITY or level > 3:
        return INVALID_PARAMETERS
    fields = MPIDR_AFFINITY & ~((1 << 8 * level) - 1)
    matching = [on for cpu, on in cpus.items() if cpu & fields == target & fields]
    if not matching:
        return INVALID_PARAMETERS
    return ON if any(matching) else OFF


def narrowed(function: int, args: tuple[int, ...]) -> tuple[int, ...]:
    """The arguments that the function reads: the lower halves if its id is a 32-bit id."""
    return args if function & BIT_64 else tuple(arg & 0xFFFFFFFF for arg in args)


RESET2, OFF2 = 0x10001, 0x10003
"""The versions of PSCI that brought SYSTEM_RESET2 and SYSTEM_OFF2."""
_HIGH = 0x5555_AAAA_0000_0000
"""Bits that a 32-bit id ignores."""


@dataclass(frozen=True)
class EventCall:
    """A call that exits with KVM_EXIT_SYSTEM_EVENT of ``kind`` with ``data``, from PSCI version ``since`` on.

    ``kept`` are the bits of x1 and x2 that user space reads as the guest passed them.
    """

    name: str
    function: int
    args: tuple[int, ...]
    kind: int
    data: int = 0
    since: int = PSCI_0_2
    kept: tuple[int, int] = (0, 0)


def _resets() -> tuple[EventCall, ...]:
    flag, wide, low = uapi.KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2, (U64, U64), (0xFFFFFFFF, 0xFFFFFFFF)
    rows = (
        ("SYSTEM_RESET2.warm", 0x84000012, (0, 0x1234), low),
        ("SYSTEM_RESET2.high_bits", 0x84000012, (_HIGH, _HIGH | 7), low),
        ("SYSTEM_RESET2.vendor", 0x84000012, (0x80000000, 7), low),
        ("SYSTEM_RESET2_64.warm", 0xC4000012, (0, 0x1234_5678_9ABC_DEF0), wide),
        ("SYSTEM_RESET2_64.last_vendor", 0xC4000012, (0xFFFFFFFF, U64), wide),
    )
    return tuple(EventCall(n, f, a, uapi.KVM_SYSTEM_EVENT_RESET, flag, RESET2, kept) for n, f, a, kept in rows)


def _offs() -> tuple[EventCall, ...]:
    rows = (
        ("SYSTEM_OFF2.default", 0x84000015, (0, 0)),
        ("SYSTEM_OFF2.hibernate", 0x84000015, (1, 0)),
        ("SYSTEM_OFF2.high_bits", 0x84000015, (_HIGH | 1, _HIGH)),
        ("SYSTEM_OFF2_64.default", 0xC4000015, (0, 0)),
        ("SYSTEM_OFF2_64.hibernate", 0xC4000015, (1, 0)),
    )
    kind, flag = uapi.KVM_SYSTEM_EVENT_SHUTDOWN, uapi.KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2
    return tuple(EventCall(name, function, args, kind, flag, OFF2) for name, function, args in rows)


EVENT_CALLS = (
    EventCall("SYSTEM_OFF", 0x84000008, (), uapi.KVM_SYSTEM_EVENT_SHUTDOWN),
    EventCall("SYSTEM_RESET", 0x84000009, (), uapi.KVM_SYSTEM_EVENT_RESET),
    *_resets(),
    *_offs(),
)
"""psci.c:kvm_psci_system_off, kvm_psci_system_reset, kvm_psci_system_reset2, kvm_psci_system_off2."""

_IDS = (0, BIT_64)
REFUSED_EVENTS = (
    *((f"SYSTEM_RESET2.{kind:#x}", 0x84000012 | wide, (kind, 0), RESET2) for kind in (1, 0x7FFFFFFF) for wide in _IDS),
    *((f"SYSTEM_RESET2_64.{kind:#x}", 0xC4000012, (kind, 0), RESET2) for kind in (1 << 32 | 1, 1 << 63 | 0x7FFFFFFF)),
    *((f"SYSTEM_OFF2.{kind:#x}", 0x84000015 | wide, (kind, 0), OFF2) for kind in (2, 3, 1 << 31) for wide in _IDS),
    *((f"SYSTEM_OFF2.cookie_{kind}", 0x84000015 | wide, (kind, 1), OFF2) for kind in (0, 1) for wide in _IDS),
    ("SYSTEM_OFF2_64.high_cookie", 0xC4000015, (1, 1 << 32), OFF2),
)  # fmt: skip
"""Name, function, arguments, and the version from which on they give INVALID_PARAMETERS. Later versions may add types.
"""
