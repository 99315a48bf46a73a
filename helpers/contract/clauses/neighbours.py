# SPDX-License-Identifier: GPL-2.0-only
"""The firmware registers beside the bitmaps, and PSCI."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, FW, Clause, Standing

PSCI = "psci.c:kvm_psci_"
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
    Clause("PSCI-6", "A PSCI call by a 32-bit id reads the lower halves of its arguments, one by a 64-bit id the whole"
           " registers.", f"Arm DEN0028, register use in AArch64 SMC and HVC calls; {PSCI}narrow_to_32bit"),
    Clause("PSCI-7", "CPU_ON and AFFINITY_INFO refuse a target with reserved bits or without a vCPU, and AFFINITY_INFO"
           " a level above 3, with INVALID_PARAMETERS. AFFINITY_INFO ignores the target's fields below its level, and"
           " gives ON if a vCPU in the rest is on, else OFF.", f"Arm DEN0022, CPU_ON, AFFINITY_INFO; {PSCI}vcpu_on;"
           f" {PSCI}vcpu_affinity_info"),
    Clause("PSCI-8", "CPU_ON starts a vCPU that is off at the entry, with the context id in x0, at EL1 with interrupts"
           " masked, MMU and data cache off. For a vCPU that is on it gives ALREADY_ON and changes nothing.",
           f"Arm DEN0022, CPU_ON, initial core configuration; {PSCI}vcpu_on"),
    Clause("PSCI-9", "SYSTEM_OFF, SYSTEM_RESET, SYSTEM_RESET2 and SYSTEM_OFF2 leave with KVM_EXIT_SYSTEM_EVENT: its"
           " type, and with KVM_CAP_SYSTEM_EVENT_DATA ndata 1 and in data[0] the flag of SYSTEM_RESET2 or SYSTEM_OFF2,"
           " else 0. The guest's PC is after the instruction, and SYSTEM_RESET2's arguments are in x1 and x2.",
           f"{API}, KVM_EXIT_SYSTEM_EVENT; psci.c:kvm_prepare_system_event", Standing.OBSERVED),
    Clause("PSCI-10", "After such an exit each vCPU of the VM is stopped, until user space makes it runnable or"
           " initialises it again. The caller then finds INTERNAL_FAILURE in x0.",
           f"{API} 4.38; psci.c:kvm_prepare_system_event", Standing.OBSERVED),
    Clause("PSCI-11", "SYSTEM_RESET2 and SYSTEM_OFF2 give INVALID_PARAMETERS for a reserved type, SYSTEM_OFF2 also for"
           " a cookie that is not 0, and NOT_SUPPORTED in an earlier version of PSCI. No vCPU stops.",
           f"Arm DEN0022, SYSTEM_RESET2, SYSTEM_OFF2; {PSCI}1_x_call"),
    Clause("PSCI-12", "SYSTEM_SUSPEND gives NOT_SUPPORTED until KVM_CAP_ARM_SYSTEM_SUSPEND is enabled. From then on it"
           " leaves with KVM_EXIT_SYSTEM_EVENT of type SUSPEND from PSCI 1.0 on, with the arguments in their registers"
           " and no vCPU stopped.", f"{API}, KVM_EXIT_SYSTEM_EVENT, KVM_CAP_ARM_SYSTEM_SUSPEND"),
    Clause("PSCI-13", "CPU_SUSPEND with an interrupt pending gives 0 for every power state, and the guest continues"
           " after the call.", f"Arm DEN0022, CPU_SUSPEND; {PSCI}vcpu_suspend", Standing.OBSERVED),
    Clause("PSCI-14", "CPU_OFF stops the calling vCPU and no other, and does not return. CPU_ON starts it again.",
           "Arm DEN0022, CPU_OFF; psci.c:kvm_psci_0_2_call"),
    Clause("WORKAROUND-1", "A workaround register reads the host's level, and ARCH_FEATURES tells the guest the same.",
           f"{FW}; hypercalls.c:get_kernel_wa_level"),
    Clause("WORKAROUND-2", "A workaround register takes every level up to the host's, refuses the rest with EINVAL,"
           " and keeps reading the host's; a run changes none of this.", f"{FW}; {SET_FW}"),
    Clause("NEIGHBOUR-1", "Writing PSCI_VERSION or a workaround register leaves the bitmaps alone, and the other way"
           " round.", SET_FW, Standing.OBSERVED),
    Clause("NEIGHBOUR-2", "KVM_HAS_DEVICE_ATTR finds the SMCCC filter and the stolen-time address whether they are set"
           " or not, before a run and after it.", f"{API} 4.81; hypercalls.c:kvm_vm_smccc_has_attr;"
           " pvtime.c:kvm_arm_pvtime_has_attr"),
)  # fmt: skip
