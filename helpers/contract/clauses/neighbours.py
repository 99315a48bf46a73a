# SPDX-License-Identifier: GPL-2.0-only
"""The firmware registers beside the bitmaps, and PSCI."""

from __future__ import annotations

from helpers.contract.clauses.base import CALL, FW, Clause, Standing

SET_FW = "hypercalls.c:kvm_arm_set_fw_reg"

CLAUSES = (
    Clause("PSCI-1", "With KVM_ARM_VCPU_PSCI_0_2, PSCI_VERSION reads the VM's version, first the latest, and takes 0.2"
           " and every one from 1.0 to the latest; any other is refused with EINVAL and changes nothing.",
           f"{FW}; {SET_FW}"),
    Clause("PSCI-2", "Without KVM_ARM_VCPU_PSCI_0_2, PSCI_VERSION reads 0.1 and takes nothing else.", SET_FW,
           Standing.OBSERVED),
    Clause("PSCI-3", "PSCI_VERSION is the whole VM's, and may be changed after a run.", f"{FW}; {SET_FW}",
           Standing.OBSERVED),
    Clause("PSCI-4", "PSCI calls answer as the VM's version says, whatever the bitmaps hold.",
           f"{CALL}; hypercalls.c:kvm_smccc_default_allowed", Standing.OBSERVED),
    Clause("PSCI-5", "The bitmaps open and close their services whatever the PSCI version.", CALL, Standing.OBSERVED),
    Clause("WORKAROUND-1", "A workaround register reads the host's level, and ARCH_FEATURES tells the guest the same.",
           f"{FW}; hypercalls.c:get_kernel_wa_level"),
    Clause("WORKAROUND-2", "A workaround register takes every level up to the host's, refuses the rest with EINVAL,"
           " and keeps reading the host's; a run changes none of this.", f"{FW}; {SET_FW}"),
    Clause("NEIGHBOUR-1", "Writing PSCI_VERSION or a workaround register leaves the bitmaps alone, and the other way"
           " round.", SET_FW, Standing.OBSERVED),
)  # fmt: skip
