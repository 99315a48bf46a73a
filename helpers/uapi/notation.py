# SPDX-License-Identifier: GPL-2.0-only
"""Names of registers, values and errnos in messages."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Protocol

from helpers.uapi import kvm as uapi


class RegisterLike(Protocol):
    """A register in a ONE_REG call."""

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> int: ...


_CSSELR = 0xFF
"""KVM_REG_ARM_DEMUX_VAL_MASK: the cache of a CCSIDR."""


@dataclass(frozen=True)
class RegisterId:
    """A register id, and a name for messages."""

    name: str
    id: int


def error_name(number: int) -> str:
    """An errno's name; "success" for 0."""
    return errno.errorcode.get(number, f"errno {number}") if number else "success"


def generic_name(register_id: int) -> str:
    """The name that an arm64 register's id gives: CCSIDR with its cache, S3_0_C2_C0_3, or the id itself."""
    coprocessor = register_id & uapi.KVM_REG_ARM_COPROC_MASK
    if coprocessor == uapi.KVM_REG_ARM_DEMUX:
        return f"CCSIDR {register_id & _CSSELR}"
    if coprocessor == uapi.KVM_REG_ARM64_SYSREG:
        # ARM64_SYS_REG
        op0, op1, crn, crm, op2 = (
            register_id >> at & (1 << bits) - 1 for at, bits in ((14, 2), (11, 3), (7, 4), (3, 4), (0, 3))
        )
        return f"S{op0}_{op1}_C{crn}_C{crm}_{op2}"
    return f"{register_id:#x}"


def show_bits(value: int) -> str:
    """``value`` in hexadecimal, and its set bits."""
    bits = [str(b) for b in range(64) if value >> b & 1]
    if len(bits) > 8:
        return f"{value:#x}"
    return f"{value:#x} (bits {', '.join(bits)})" if bits else "0x0 (no bit)"
