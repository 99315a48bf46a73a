# SPDX-License-Identifier: GPL-2.0-only
"""What the guest sees."""

from __future__ import annotations

from helpers.contract.clauses.base import CALL, FW, Clause, Standing

CLAUSES = (
    Clause("CALL-1", "A call whose bit is set gives its service's answer in x0..x3.", f"{FW}; {CALL}"),
    Clause("CALL-2", "A call whose bit is clear gives NOT_SUPPORTED (-1, 64 bits) in x0 and zero in x1..x3.",
           f"{FW}; {CALL}; Arm DEN0028"),
    Clause("CALL-3", "A call that no bit gates answers the same whatever the registers hold.", CALL,
           Standing.OBSERVED),
    Clause("CALL-4", "A call leaves x4..x17 as they were.", "Arm DEN0028 (SMCCC 1.1)"),
    Clause("TRNG-1", "TRNG_RND gives the entropy asked for, with zeros above it, and different bits each time.",
           "Arm DEN0098; trng.c:kvm_trng_do_rnd"),
    Clause("PTP-1", "KVM_PTP gives the host's wall clock and the counter as the guest reads it.",
           "Documentation/virt/kvm/arm/ptp_kvm.rst; hypercalls.c:kvm_ptp_get_time"),
    Clause("FEAT-1", "KVM_FEATURES shows the vendor services' bitmaps as they are set.",
           "Documentation/virt/kvm/arm/hypercalls.rst"),
    Clause("PVTIME-1", "PV_TIME_ST gives the address of the zeroed stolen-time area, or NOT_SUPPORTED without one.",
           "Documentation/virt/kvm/arm/pvtime.rst; Arm DEN0057"),
)  # fmt: skip
