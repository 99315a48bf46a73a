# SPDX-License-Identifier: GPL-2.0-only
"""Reset values, and which VM and vCPUs they belong to."""

from __future__ import annotations

from helpers.contract.clauses.base import FW, RFC, SET, Clause

CLAUSES = (
    Clause("DEFAULT-1", "In a new VM each bitmap register has every supported bit set, except for VENDOR_HYP_BMAP_2,"
           " which is 0.", f"{RFC}; {FW}; hypercalls.c:kvm_arm_init_hypercalls"),
    Clause("DEFAULT-2", "Each VM has its own bitmap registers.", f"{FW}: one value per VM; {SET}"),
    Clause("DEFAULT-3", "All vCPUs of a VM have the same bitmap registers.", f"{FW}: VM-wide; {SET}"),
)  # fmt: skip
