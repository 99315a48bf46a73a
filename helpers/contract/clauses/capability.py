# SPDX-License-Identifier: GPL-2.0-only
"""The capability of the RFC, and how user space discovers the registers."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, Clause

CLAUSES = (
    Clause("CAP-1", "With the interface of RFC v3, KVM_CHECK_EXTENSION(KVM_CAP_ARM_HVC_FW_REG_BMAP) returns the number"
           " of bitmap registers, on /dev/kvm and on a VM fd. With mainline's interface it returns 0.",
           f"{RFC}; arm.c:kvm_vm_ioctl_check_extension"),
    Clause("CAP-2", "KVM_GET_REG_LIST lists every bitmap register of the kernel once, and no other one.",
           f"{API} 4.84; hypercalls.c:kvm_arm_copy_fw_reg_indices"),
    Clause("CAP-3", "User space can list the bitmap registers, read each one, and write back the value that it read.",
           f"{RFC}; {FW}; hypercalls.c:kvm_arm_get_fw_reg, kvm_arm_set_fw_reg"),
)  # fmt: skip
