# SPDX-License-Identifier: GPL-2.0-only
"""The guest's readings of its counters under an offset, with a correction for emulated CPUs that do not apply it."""

from __future__ import annotations

import os

from helpers.kvm import Vm
from helpers.smccc import CallResult
from helpers.uapi.notation import RegisterId
from helpers.uapi.system_registers import sys_reg_id

COUNTER_OFFSET = 1 << 36
"""In ticks: minutes at any frequency, so that readings with two offsets cannot be confused."""
_MIDR_EL1 = RegisterId("MIDR_EL1", sys_reg_id(3, 0, 0, 0, 0))
_SOFTWARE = 0
"""The implementer of QEMU's CPU model max in MIDR_EL1 (Arm ARM: reserved for software use)."""
_CPUINFO = "/proc/cpuinfo"
_PAGE = 4096
_U64 = (1 << 64) - 1


def may_ignore_cntpoff(vm: Vm) -> bool:
    """Whether the CPU may be one of QEMU 10.0: its own model max, with FEAT_ECV. Raises KvmError.

    If the CPU has FEAT_ECV, KVM writes the offset of CNTPCT_EL0 to CNTPOFF_EL2; otherwise it traps the reads. QEMU 10.0
    does not apply that register on a machine without EL3 (target/arm/helper.c: gt_phys_raw_cnt_offset needs
    SCR_EL3.ECVEn).
    """
    batch = vm.batch()
    midr = batch.get(vm.vcpu, _MIDR_EL1)
    cpuinfo = batch.program.open(_CPUINFO, os.O_RDONLY | os.O_CLOEXEC)
    text = batch.program.read(cpuinfo, _PAGE)
    batch.program.close(cpuinfo)
    answer = batch.run()
    return is_qemu_with_ecv(int(midr.ok().value or 0), answer[text].data)


def is_qemu_with_ecv(midr: int, cpuinfo: bytes) -> bool:
    """Whether the CPU is QEMU's model max, with FEAT_ECV (HWCAP2_ECV in Documentation/arch/arm64/elf_hwcaps.rst)."""
    return midr >> 24 == _SOFTWARE and b"ecv" in cpuinfo.split()


def counter_readings(result: CallResult, counter: int, offset: int, *, ignores_cntpoff: bool) -> tuple[int, int]:
    """The readings in ticks before and after a call: CNTVCT_EL0 if COUNTER is 0, else CNTPCT_EL0.

    KVM_ARM_SET_COUNTER_OFFSET gives both counters OFFSET. If the CPU may ignore it (``ignores_cntpoff``), and the
    readings of CNTPCT_EL0 lack it, they are corrected.
    """
    if counter == 0:
        return result.cntvct
    ahead = (result.cntpct[0] - result.cntvct[0] - offset) & _U64
    lacks_offset = min(ahead, _U64 + 1 - ahead) < COUNTER_OFFSET // 2
    if not ignores_cntpoff or not lacks_offset:
        return result.cntpct
    first, last = ((reading - offset) & _U64 for reading in result.cntpct)
    return first, last
