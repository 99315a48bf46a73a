# SPDX-License-Identifier: GPL-2.0-only
"""The firmware registers beside the bitmaps, and PSCI."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, FW, Clause, Standing

PSCI = "psci.c:kvm_psci_"
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
    Clause("PSCI-6", "A PSCI call with a 32-bit function identifier uses bits 31:0 of its arguments, one with a 64-bit"
           " identifier all bits.",
           f"Arm DEN0028, register use in AArch64 SMC and HVC calls; {PSCI}narrow_to_32bit"),
    Clause("PSCI-7", "CPU_ON and AFFINITY_INFO return INVALID_PARAMETERS for a target with reserved bits set or without"
           " a vCPU, AFFINITY_INFO also for a level above 3. AFFINITY_INFO ignores the target's fields below its level,"
           " and returns ON if a vCPU in the others is on, OFF otherwise.",
           f"Arm DEN0022, CPU_ON, AFFINITY_INFO; {PSCI}vcpu_on; {PSCI}vcpu_affinity_info"),
    Clause("PSCI-8", "CPU_ON starts a vCPU that is off at the entry point, with the context id in x0, at EL1 with"
           " interrupts masked and MMU and data cache off. For a vCPU that is on it returns ALREADY_ON and changes"
           " nothing.", f"Arm DEN0022, CPU_ON, initial core configuration; {PSCI}vcpu_on"),
    Clause("PSCI-9", "SYSTEM_OFF, SYSTEM_RESET, SYSTEM_RESET2 and SYSTEM_OFF2 exit to user space with"
           " KVM_EXIT_SYSTEM_EVENT and its type. With KVM_CAP_SYSTEM_EVENT_DATA, ndata is 1 and data[0] is the flag of"
           " SYSTEM_RESET2 or SYSTEM_OFF2, or 0. The guest's PC points to the next instruction, and x1 and x2 hold the"
           " arguments of SYSTEM_RESET2.",
           f"{API}, KVM_EXIT_SYSTEM_EVENT; psci.c:kvm_prepare_system_event", Standing.OBSERVED),
    Clause("PSCI-10", "After KVM_EXIT_SYSTEM_EVENT every vCPU of the VM is stopped until user space makes it runnable"
           " or initialises it again. The caller then has INTERNAL_FAILURE in x0.",
           f"{API} 4.38; psci.c:kvm_prepare_system_event", Standing.OBSERVED),
    Clause("PSCI-11", "SYSTEM_RESET2 and SYSTEM_OFF2 return INVALID_PARAMETERS for a reserved type, SYSTEM_OFF2 also"
           " for a non-zero cookie, and NOT_SUPPORTED in an earlier version of PSCI. They stop no vCPU then.",
           f"Arm DEN0022, SYSTEM_RESET2, SYSTEM_OFF2; {PSCI}1_x_call"),
    Clause("PSCI-12", "SYSTEM_SUSPEND returns NOT_SUPPORTED unless KVM_CAP_ARM_SYSTEM_SUSPEND is enabled. If it is"
           " enabled, and from PSCI 1.0 on, SYSTEM_SUSPEND exits with KVM_EXIT_SYSTEM_EVENT of type SUSPEND and"
           " ndata 0, with the arguments in their registers and no vCPU stopped.",
           f"{API}, KVM_EXIT_SYSTEM_EVENT, KVM_CAP_ARM_SYSTEM_SUSPEND; {PSCI}system_suspend"),
    Clause("PSCI-13", "CPU_SUSPEND returns 0 for every power state if an interrupt is pending.",
           f"Arm DEN0022, CPU_SUSPEND; {PSCI}vcpu_suspend", Standing.OBSERVED),
    Clause("PSCI-14", "CPU_OFF stops the calling vCPU and no other, and does not return. CPU_ON starts it again.",
           "Arm DEN0022, CPU_OFF; psci.c:kvm_psci_0_2_call"),
    Clause("WORKAROUND-1", "A workaround register reads the host's mitigation level, and ARCH_FEATURES"
           " returns the value for that level to the guest.", f"{FW}; hypercalls.c:get_kernel_wa_level"),
    Clause("WORKAROUND-2", "A workaround register accepts every level up to the host's and refuses any other value with"
           " EINVAL. It always reads the host's level. KVM_RUN changes none of this.", f"{FW}; {SET_FW}"),
    Clause("NEIGHBOUR-1", "A write to PSCI_VERSION or to a workaround register does not change a bitmap register, and a"
           " write to a bitmap register does not change them.", SET_FW, Standing.OBSERVED),
    Clause("NEIGHBOUR-2", "KVM_HAS_DEVICE_ATTR succeeds for the SMCCC filter and the stolen-time address, whether they"
           " are set or not, before and after KVM_RUN.",
           f"{API} 4.81; hypercalls.c:kvm_vm_smccc_has_attr; pvtime.c:kvm_arm_pvtime_has_attr"),
)  # fmt: skip
