# SPDX-License-Identifier: GPL-2.0-only
"""Faults in the service of the variant newer-bit, which docs/services-example.toml describes.

tests/kernel/test_newer.py plants them in a session with that file; faults/prove.py does not, because without the file
the suite does not know the service.
"""

from __future__ import annotations

from faults.fault import rows

EXAMPLE = "docs/services-example.toml"
NEWER_FAULTS = rows(
    "kvm_arm_init_hypercalls kvm_arm_set_fw_reg kvm_smccc_call_handler",
    ("newer-open", "CALL-2", "the function answers without its bit"),
    ("newer-shut", "CALL-1", "the function does not answer with its bit"),
    ("newer-answer", "CALL-1", "the function gives 8 in x2, not 7"),
    ("newer-x3-kept", "CALL-1", "the function leaves x3 as it was"),
    ("newer-clobbers-x4", "CALL-4", "the function changes x4"),
    ("newer-hvc-only", "SMC-1", "the function does not answer by SMC"),
    ("newer-needs-ptp", "CALL-1", "the function also needs the bit of PTP"),
    ("newer-unfiltered", "FILTER-9", "the function answers although the SMCCC filter denies it"),
    ("newer-unlocked", "LOCK-1", "after KVM_RUN the bit can be changed"),
    ("newer-dropped", "LIMIT-1 MIGRATE-1 MODEL-1", "a write succeeds and leaves the bit clear"),
    ("newer-refused", "LIMIT-1 MIGRATE-1", "a write with the bit is refused"),
    ("newer-clear", "DEFAULT-1", "a new VM has the bit clear"),
    ("newer-width", "CALL-7", "the function also answers with the id of the other width"),
)
