# SPDX-License-Identifier: GPL-2.0-only
"""Announcement and discovery."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, Clause

CLAUSES = (
    Clause("CAP-1", "KVM_CAP_ARM_HVC_FW_REG_BMAP answers the number of bitmap registers, on /dev/kvm and on a VM's fd;"
           " a kernel of the mainline dialect does not answer it.", RFC),
    Clause("CAP-2", "KVM_GET_REG_LIST shows exactly the bitmap registers that there are, once each.",
           f"{API} 4.84; hypercalls.c:kvm_arm_fw_reg_ids"),
    Clause("CAP-3", "User space can discover each register, read it, and write back what it read.", f"{RFC}; {FW}"),
)  # fmt: skip
