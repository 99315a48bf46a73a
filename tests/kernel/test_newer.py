# SPDX-License-Identifier: GPL-2.0-only
"""Discovery on a planted kernel that is newer than the suite, and on kernels whose limits are broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.catalogue import FAULTS
from helpers.discovery.newer import add_guest_facts
from helpers.discovery.probe import probe
from helpers.kvm import Kvm

NEWER = {
    "newer-bit": (["VENDOR_HYP:2"], {0x86000002}),
    "newer-register-empty": (["BMAP_4:0", "BMAP_4:1"], {0xC5000040}),
    "newer-register-full": (["BMAP_4:0", "BMAP_4:1"], {0xC5000040}),
    "newer-owner": (["BMAP_5:0", "BMAP_5:1"], {0xC7000001}),
    "newer-firmware": (["FW_REG_9"], set()),
    "newer-psci": (["PSCI:1.4"], set()),
    "newer-smccc": (["SMCCC:1.6"], set()),
    "none": ([], set()),
}


@pytest.mark.parametrize("variant", NEWER)
def test_what_the_tables_lack_has_a_name(variant: str, plant: Callable[..., Kvm]) -> None:
    kvm = plant(variant)
    features = add_guest_facts(kvm, probe(kvm))
    names, functions = NEWER[variant]
    assert [service.name for service in features.unknown] == names
    assert set(features.new_functions) == functions and not features.contradictions


LIMITS = [fault.id for fault in FAULTS if fault.id.startswith(("limit-", "default-", "list-", "get-", "set-"))]
SEEN = {
    "default-empty": "DEFAULT-1", "default-bit-missing": "DEFAULT-1", "default-bit-extra": "DEFAULT-1",
    "get-extra-bit": "DEFAULT-1", "limit-none": "LIMIT-2", "limit-one-more": "LIMIT-2", "limit-bit-63": "LIMIT-2",
    "limit-lower-half": "LIMIT-2", "limit-first-register-only": "LIMIT-2", "limit-any-beside-supported": "LIMIT-2",
    "limit-refuses-full": "LIMIT-1", "limit-refuses-ptp-alone": "LIMIT-1",
}  # fmt: skip
"""The faults that discovery itself finds; tests find the others."""


@pytest.mark.parametrize("fault", LIMITS)
def test_a_broken_limit_is_not_new(fault: str, plant: Callable[..., Kvm]) -> None:
    kvm = plant(fault)
    features = probe(kvm)
    assert not features.unknown
    clauses = {each.clause for each in features.contradictions}
    assert fault not in SEEN or SEEN[fault] in clauses, features.contradictions
