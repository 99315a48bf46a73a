# SPDX-License-Identifier: GPL-2.0-only
"""The readings of a guest's counters under an offset, on CPUs that apply it to CNTPCT_EL0 and on one that does not."""

from __future__ import annotations

import pytest

from helpers.smccc import CallResult
from suites.hypercalls.counters import COUNTER_OFFSET, counter_readings, is_qemu_with_ecv

QEMU_MAX, CORTEX_A57 = 0x000F0510, 0x411FD070
RAW = (97 * 10**9, 97 * 10**9 + 30_000)
"""Ticks of a counter without an offset, before and after a call."""
OFFSETS = pytest.mark.parametrize("offset", [COUNTER_OFFSET, (1 << 64) - COUNTER_OFFSET], ids=["back", "ahead"])


def moved(offset: int) -> tuple[int, int]:
    first, last = ((tick - offset) % (1 << 64) for tick in RAW)
    return first, last


@OFFSETS
@pytest.mark.parametrize("ignores", [True, False])
def test_a_cpu_that_applies_the_offset(ignores: bool, offset: int) -> None:
    result = CallResult((), cntvct=moved(offset), cntpct=moved(offset))
    for counter in (0, 1):
        assert counter_readings(result, counter, offset, ignores_cntpoff=ignores) == moved(offset)


@OFFSETS
def test_only_a_cpu_that_may_ignore_it_is_corrected(offset: int) -> None:
    """On another CPU, a physical counter without the offset is a fault of KVM."""
    result = CallResult((), cntvct=moved(offset), cntpct=RAW)
    assert counter_readings(result, 1, offset, ignores_cntpoff=True) == moved(offset)
    assert counter_readings(result, 1, offset, ignores_cntpoff=False) == RAW


@pytest.mark.parametrize(
    ("midr", "features", "ignores"),
    [(QEMU_MAX, "fp ecv sve", True), (QEMU_MAX, "fp sve", False), (CORTEX_A57, "fp ecv", False)],
    ids=["QEMU 10", "QEMU 7", "Cortex-A57"],
)
def test_the_cpu_is_recognised(midr: int, features: str, ignores: bool) -> None:
    cpuinfo = f"processor\t: 0\nFeatures\t: {features}\nCPU part\t: 0xecv\n"
    assert is_qemu_with_ecv(midr, cpuinfo.encode()) is ignores
