# SPDX-License-Identifier: GPL-2.0-only
"""The guest's readings of its counters under an offset, with a correction for emulated CPUs that do not apply it."""

from __future__ import annotations

from helpers.smccc import CallResult
from helpers.uapi.notation import RegisterId
from helpers.uapi.system_registers import sys_reg_id

MIDR_EL1 = RegisterId("MIDR_EL1", sys_reg_id(3, 0, 0, 0, 0))
COUNTER_OFFSET = 1 << 36
"""In ticks: minutes at any frequency, so that readings with two offsets cannot be confused."""
_U64 = (1 << 64) - 1
_SOFTWARE = 0
"""The implementer of QEMU's CPU model max in MIDR_EL1 (Arm ARM: reserved for software use)."""


def counter_readings(result: CallResult, counter: int, offset: int, midr: int) -> tuple[int, int]:
    """The readings in ticks before and after a call: CNTVCT_EL0 if COUNTER is 0, else CNTPCT_EL0.

    KVM_ARM_SET_COUNTER_OFFSET gives both counters OFFSET. If the CPU has FEAT_ECV, KVM writes the offset of CNTPCT_EL0
    to CNTPOFF_EL2. QEMU 10.0 does not apply that register on a machine without EL3 (target/arm/helper.c:
    gt_phys_raw_cnt_offset needs SCR_EL3.ECVEn). Only for QEMU's own CPU model the readings are then corrected.
    """
    if counter == 0:
        return result.cntvct
    ahead = (result.cntpct[0] - result.cntvct[0] - offset) & _U64
    is_offset_ignored = min(ahead, _U64 + 1 - ahead) < COUNTER_OFFSET // 2
    if midr >> 24 != _SOFTWARE or not is_offset_ignored:
        return result.cntpct
    first, last = ((reading - offset) & _U64 for reading in result.cntpct)
    return first, last
