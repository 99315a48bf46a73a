# SPDX-License-Identifier: GPL-2.0-only
"""The firmware registers beside the bitmaps, and PSCI."""

from __future__ import annotations

from helpers.contract.clauses.base import CALL, FW, Clause, Standing

SET_FW = "hypercalls.c:kvm_arm_set_fw_reg"

CLAUSES = (
    Clause("PSCI-1", "With KVM_ARM_VCPU_PSCI_0_2, PSCI_VERSION reads the PSCI version of the VM, in a new VM the"
           " latest. It accepts 0.2 and every version from 1.0 to the latest. Any other value is refused with EINVAL"
           " and changes nothing.", f"{FW}; {SET_FW}"),
    Clause("PSCI-2", "Without KVM_ARM_VCPU_PSCI_0_2, PSCI_VERSION reads 0.1 and accepts only 0.1.", SET_FW,
           Standing.OBSERVED),
    Clause("PSCI-3", "PSCI_VERSION is one value for the whole VM, and can be changed after KVM_RUN.", f"{FW}; {SET_FW}",
           Standing.OBSERVED),
    Clause("PSCI-4", "The answers to PSCI calls are those of the VM's PSCI version and do not depend on the bitmap"
           " registers.", f"{CALL}; hypercalls.c:kvm_smccc_default_allowed; psci.c:kvm_psci_call", Standing.OBSERVED),
    Clause("PSCI-5", "The bitmap registers gate their services in the same way for every PSCI version.", CALL,
           Standing.OBSERVED),
    Clause("WORKAROUND-1", "A workaround register reads the host's mitigation level, and ARCH_FEATURES"
           " returns the value for that level to the guest.", f"{FW}; hypercalls.c:get_kernel_wa_level"),
    Clause("WORKAROUND-2", "A workaround register accepts every level up to the host's and refuses any other value with"
           " EINVAL. It always reads the host's level. KVM_RUN changes none of this.", f"{FW}; {SET_FW}"),
    Clause("NEIGHBOUR-1", "A write to PSCI_VERSION or to a workaround register does not change a bitmap register, and a"
           " write to a bitmap register does not change them.", SET_FW, Standing.OBSERVED),
)  # fmt: skip
