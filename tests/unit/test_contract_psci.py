# SPDX-License-Identifier: GPL-2.0-only
"""The answers that the contract defines for arguments of PSCI calls."""

from __future__ import annotations

import pytest

from helpers.contract.neighbours import INVALID_PARAMETERS
from helpers.contract.psci import AFFINITY_INFO, BIT_64, OFF, ON, affinity_info, mpidr, narrowed

CPUS = {0x000: True, 0x001: False, 0x100: False, 0x1_0000: False}
"""Affinity fields, and whether the vCPU is on."""


@pytest.mark.parametrize(("index", "fields"), [(0, 0), (0xF, 0xF), (0x10, 0x100), (0xFFF, 0xFF0F), (0x1000, 0x10000)])
def test_affinity_fields_of_an_id(index: int, fields: int) -> None:
    assert mpidr(index) == fields


@pytest.mark.parametrize(
    ("target", "level", "answer"),
    [
        (0, 0, ON), (1, 0, OFF), (2, 0, INVALID_PARAMETERS), (1, 1, ON), (0x1FF, 1, OFF),
        (0x200, 1, INVALID_PARAMETERS), (0x1FF, 2, ON), (0x1_0000, 2, OFF), (0x1_0000, 3, ON),
        (1 << 32, 3, INVALID_PARAMETERS), (0, 4, INVALID_PARAMETERS), (1 << 31, 0, INVALID_PARAMETERS),
        (1 << 40, 3, INVALID_PARAMETERS),
    ],
)  # fmt: skip
def test_affinity_info(target: int, level: int, answer: int) -> None:
    assert affinity_info(CPUS, target, level) == answer


def test_a_32_bit_id_reads_the_lower_halves() -> None:
    arguments = (5 << 32 | 1, 2)
    assert narrowed(AFFINITY_INFO, arguments) == (1, 2)
    assert narrowed(AFFINITY_INFO | BIT_64, arguments) == arguments
