# SPDX-License-Identifier: GPL-2.0-only
"""SMC Calling Convention (Arm DEN0028): calls, results and return codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

U64 = (1 << 64) - 1
NOT_SUPPORTED = U64
"""x0 of a call that is not implemented: -1 in all 64 bits."""
SMCCC_1_1 = 0x10001
"""The result of SMCCC_VERSION on every kernel in the tables."""


def signed(value: int) -> int:
    """``value`` (64 bits) as SMCCC's signed return code."""
    return value - (1 << 64) if value >> 63 else value


class Conduit(IntEnum):
    """The instruction that makes the call, with its immediate; the values are those of the guest's mailbox.

    SMCCC calls have the immediate 0 (Arm DEN0028, "SMC and HVC immediate value"). The others have one bit, or all.
    """

    HVC, SMC = 0, 1
    HVC_1, SMC_1 = 2, 3
    HVC_2, SMC_2 = 4, 5
    HVC_4, SMC_4 = 6, 7
    HVC_8, SMC_8 = 8, 9
    HVC_10, SMC_10 = 10, 11
    HVC_20, SMC_20 = 12, 13
    HVC_40, SMC_40 = 14, 15
    HVC_80, SMC_80 = 16, 17
    HVC_100, SMC_100 = 18, 19
    HVC_200, SMC_200 = 20, 21
    HVC_400, SMC_400 = 22, 23
    HVC_800, SMC_800 = 24, 25
    HVC_1000, SMC_1000 = 26, 27
    HVC_2000, SMC_2000 = 28, 29
    HVC_4000, SMC_4000 = 30, 31
    HVC_8000, SMC_8000 = 32, 33
    HVC_FFFF, SMC_FFFF = 34, 35

    @property
    def instruction(self) -> str:
        """HVC or SMC."""
        return self.name.partition("_")[0]


@dataclass(frozen=True)
class Call:
    """One call: function id in x0, arguments in x1..x7 (64 bits each)."""

    function: int
    args: tuple[int, ...] = ()
    conduit: Conduit = Conduit.HVC

    @property
    def registers(self) -> tuple[int, ...]:
        """x0..x7 on entry."""
        return (self.function, *self.args, *([0] * (7 - len(self.args))))


@dataclass(frozen=True)
class CallResult:
    """x0..x17 after a call, and the guest's counters (ticks) around it."""

    x: tuple[int, ...]
    cntvct: tuple[int, int]
    cntpct: tuple[int, int]

    @property
    def x0_3(self) -> tuple[int, int, int, int]:
        """The result registers of SMCCC 1.0."""
        return self.x[0], self.x[1], self.x[2], self.x[3]


def show_registers(values: tuple[int, ...]) -> str:
    """x0..xn for a message."""
    return " ".join(f"x{i}={v:#x}" for i, v in enumerate(values))
