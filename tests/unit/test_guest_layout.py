# SPDX-License-Identifier: GPL-2.0-only
"""Every address in a guest is one of the smallest VM that KVM makes."""

from __future__ import annotations

import re

import pytest

from helpers.build import ROOT
from helpers.guest_layout import LEAST_IPA_BITS, MEMORY_IPA, MEMORY_SIZE, PV_TIME_IPA
from suites.model.sequences import AREAS
from suites.run import vgics as vgic

SOURCE = (ROOT / "guest_asm/smccc_calls.S").read_text()
ENDS = {
    "memory": MEMORY_IPA + MEMORY_SIZE,
    # Documentation/virt/kvm/devices/arm-vgic-v3.rst: the sizes of both, for eight vCPUs.
    "distributor": vgic.DISTRIBUTOR + 0x10000,
    "redistributors": vgic.REDISTRIBUTORS + 8 * 0x20000,
    **{name: int(at, 16) + 8 for name, at in re.findall(r"^#define (\w+_IPA)\s+(0x\w+)$", SOURCE, re.MULTILINE)},
}


@pytest.mark.parametrize("what", ENDS)
def test_an_address_is_in_the_smallest_vm(what: str) -> None:
    assert ENDS[what] <= 1 << LEAST_IPA_BITS


def test_stolen_time_areas_are_in_the_memory() -> None:
    for area in (PV_TIME_IPA, *AREAS):
        assert MEMORY_IPA <= area <= MEMORY_IPA + MEMORY_SIZE - 64


def test_the_guest_has_the_same_addresses() -> None:
    assert ENDS["IMAGE_IPA"] == MEMORY_IPA + 8 and "EXIT_IPA" in ENDS
