# SPDX-License-Identifier: GPL-2.0-only
"""The classes of the services' answers in the reports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS
from helpers.contract.registers import MAINLINE, NONE
from helpers.discovery.services import VARYING, answer_class

NAMED = {function.name: function for function in FUNCTIONS}
PROBE = Probe(MAINLINE, MAINLINE.registers, (), (0, 0), True, True, True, True, "7.2")
NS, INVALID = (1 << 64) - 1, (1 << 64) - 2


@pytest.mark.parametrize(
    ("function", "x", "shown"),
    [
        ("TRNG_VERSION", CLOSED, "NOT_SUPPORTED"),
        ("TRNG_VERSION", (NS, 1, 2, 3), "NOT_SUPPORTED, 0x1, 0x2, 0x3"),
        ("TRNG_VERSION", (0xFFFFFFFF, 0, 0, 0), "0xffffffff, 0, 0, 0"),
        ("TRNG_VERSION", (0x10000, 0, 0, 0), "0x10000, 0, 0, 0"),
        ("TRNG_RND64.0xc1", (INVALID, 0, 0, 0), "-2, 0, 0, 0"),
        ("TRNG_RND64.0xc0", (0, 1 << 63, 2, 3), VARYING),
        ("TRNG_RND64.0xc0", (0, 0, 0, 0), "0, 0, 0, 0"),
        ("TRNG_RND32.0x60", (0, 1, 2, 3), VARYING),
        ("TRNG_RND32.0x60", (0, 1 << 32, 0, 0), "0, 0x100000000, 0, 0"),
        ("KVM_PTP.VIRTUAL", (1, 2, 3, 4), VARYING),
        ("KVM_PTP.VIRTUAL", CLOSED, "NOT_SUPPORTED"),
        ("KVM_PTP.VIRTUAL", (0, 0, 3, 4), "0, 0, 0x3, 0x4"),
        ("KVM_PTP.UNKNOWN_COUNTER", (1, 2, 3, 4), "0x1, 0x2, 0x3, 0x4"),
        ("PSCI_VERSION", (0x10001, 0, 0, 0), "0x10001, 0, 0, 0"),
    ],
)
def test_classes(function: str, x: tuple[int, int, int, int], shown: str) -> None:
    assert answer_class(NAMED[function], x, PROBE) == shown


def test_classes_where_there_are_no_registers() -> None:
    none = replace(PROBE, dialect=NONE, present=())
    assert answer_class(NAMED["KVM_FEATURES"], (3, 0, 0, 0), none) == "0x3, 0, 0, 0"
    assert answer_class(NAMED["KVM_PTP.VIRTUAL"], CLOSED, none) == "NOT_SUPPORTED"
