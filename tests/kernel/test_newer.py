# SPDX-License-Identifier: GPL-2.0-only
"""Discovery on a planted kernel that is newer than the suite, and on kernels whose limits are broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from faults.catalogue import FAULTS
from faults.newer import EXAMPLE, NEWER_FAULTS
from helpers.discovery.newer import add_guest_facts
from helpers.discovery.probe import probe
from helpers.identity import SubjectId
from helpers.kvm import Kvm
from helpers.results.log import read_log
from helpers.results.records import FAILED
from helpers.results.verdict import verdicts
from tests.support.sessions import run_pytest

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


CHAPTERS = [f"suites/{name}" for name in ("limits", "defaults", "lock", "hypercalls", "filter", "migration", "model")]
SELECTION = [
    "-k",
    "VENDOR_HYP and not VENDOR_HYP_2 or FROB_INFO or near_misses or MODEL or any_order or nothing_refused",
]


def test_every_fault_in_a_described_service_is_seen(tmp_path: Path) -> None:
    """The correct service passes, and each fault fails a test of each of its clauses."""
    planted = [f"--plant={name}" for name in ("newer-bit", *(fault.id for fault in NEWER_FAULTS))]
    options = [f"--services={EXAMPLE}", f"--reports={tmp_path}", "-q", "-n", "2", "-p", "no:html", "--tb=no"]
    status, text = run_pytest(*options, *planted, *CHAPTERS, *SELECTION)
    assert status == 1, text
    log = read_log(tmp_path / "results.jsonl")
    by_fault = {v.subject.fault: v for v in verdicts(log) if isinstance(v.subject, SubjectId)}
    assert by_fault["newer-bit"].status == 0, by_fault["newer-bit"].line
    assert "with VENDOR_HYP.FROB" in by_fault["newer-bit"].line
    for fault in NEWER_FAULTS:
        subject = by_fault[fault.id].subject
        broken = {clause for r in log.results if r.subject == subject and r.outcome == FAILED for clause in r.clauses}
        assert set(fault.clauses) <= broken, f"{fault.id}: {sorted(broken)}"
