# SPDX-License-Identifier: GPL-2.0-only
"""What the guest sees."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, FW, Clause, Standing

VCPU = "Documentation/virt/kvm/devices/vcpu.rst 3.1"

CLAUSES = (
    Clause("CALL-1", "A call whose bit is set gives its service's answer in x0..x3.", f"{FW}; {CALL}"),
    Clause("CALL-2", "A call whose bit is clear gives NOT_SUPPORTED (-1, 64 bits) in x0 and zero in x1..x3.",
           f"{FW}; {CALL}; Arm DEN0028"),
    Clause("CALL-3", "A call that no bit gates answers the same whatever the registers hold.", CALL,
           Standing.OBSERVED),
    Clause("CALL-4", "A call leaves x4..x17 as they were.", "Arm DEN0028 (SMCCC 1.1)"),
    Clause("CALL-5", "The lower 32 bits of x0 name the function; the upper half says nothing.",
           "Arm DEN0028; arm_hypercalls.h:smccc_get_function"),
    Clause("CALL-6", "An HVC's immediate changes nothing.", "handle_exit.c:handle_hvc", Standing.OBSERVED),
    Clause("CALL-7", "A function id that KVM does not serve gives NOT_SUPPORTED in x0 and zero in x1..x3,"
           " whatever the registers hold.", f"Arm DEN0028; {CALL}"),
    Clause("CALL-8", "A call leaves x18 to x30, the stack pointers and the vector registers as they were.",
           "Arm DEN0028 (SMCCC 1.1)"),
    Clause("SMC-1", "Where KVM serves SMC, SMC #0 answers as HVC does, under the same bits.",
           "handle_exit.c:handle_smc (c2d2e9b3d8ce)", Standing.OBSERVED),
    Clause("SMC-2", "An SMC that KVM does not serve (its immediate not 0, or any before Linux 6.4) gives NOT_SUPPORTED"
           " in x0, keeps the other registers, and the guest goes on behind it.",
           "Arm DEN0028, SMC and HVC immediate value; handle_exit.c:handle_smc", Standing.OBSERVED),
    Clause("WA-1", "ARCH_WORKAROUND_1 to 3 return 0 in x0 by HVC and are not there by SMC, whatever the bitmaps.",
           "hyp-entry.S:el1_sync (1de111b51b82)", Standing.OBSERVED),
    Clause("ARCH-1", "ARCH_FEATURES knows PV_TIME_FEATURES while its bit is set, with a stolen-time area or without,"
           " and nothing else that a bit opens.", f"Documentation/virt/kvm/arm/pvtime.rst; {CALL}"),
    Clause("TRNG-2", "TRNG_FEATURES answers 0 for the five TRNG functions (all 64 bits count), else NOT_SUPPORTED.",
           "Arm DEN0098; trng.c:kvm_trng_call"),
    Clause("PVTIME-3", "KVM_ARM_VCPU_PVTIME_IPA takes, once for each vCPU, a multiple of 64 in a memory slot; else"
           " EINVAL, the second time EEXIST.", f"{VCPU}; pvtime.c:kvm_arm_pvtime_set_attr"),
    Clause("PVTIME-4", "The address reads back, and as all ones while there is none.",
           "pvtime.c:kvm_arm_pvtime_get_attr", Standing.OBSERVED),
    Clause("PVTIME-5", "ENXIO for another attribute wins over EFAULT for the pointer, that over EINVAL for alignment,"
           " that over EEXIST, and that over EINVAL for no memory.", "pvtime.c:kvm_arm_pvtime_set_attr",
           Standing.OBSERVED),
    Clause("PVTIME-6", "The address, KVM_CAP_STEAL_TIME and KVM_CAP_PTP_KVM have nothing to do with the bitmaps, a run"
           " or KVM_ARM_VCPU_INIT.", "pvtime.c; arm.c:kvm_vm_ioctl_check_extension", Standing.OBSERVED),
    Clause("PVTIME-7", "Each vCPU has a stolen-time area of its own.",
           f"{VCPU}; Documentation/virt/kvm/arm/pvtime.rst"),
    Clause("PVTIME-8", "From PV_TIME_ST on the stolen time counts, in ns and only up, how long the vCPU's thread waited"
           " for a processor.",
           "Documentation/virt/kvm/arm/pvtime.rst; pvtime.c:kvm_update_stolen_time"),
    Clause("PVTIME-9", "KVM_ARM_VCPU_PVTIME_IPA refuses an address in a read-only slot with EINVAL, and KVM does not"
           " write to the slot.", f"{API} 4.35, KVM_MEM_READONLY; pvtime.c:kvm_arm_pvtime_set_attr", Standing.OBSERVED),
    Clause("PVTIME-10", "While the area has no writable memory, PV_TIME_ST gives its address or NOT_SUPPORTED, the"
           " memory stays, and the guest continues. Once the memory is back, PV_TIME_ST works as before.",
           f"Documentation/virt/kvm/arm/pvtime.rst; {API} 4.35; pvtime.c:kvm_init_stolen_time"),
    Clause("PVTIME-11", "The dirty log has the page of the area after KVM has written it.",
           f"{API} 4.8; pvtime.c:kvm_init_stolen_time; pvtime.c:kvm_update_stolen_time"),
    Clause("PVTIME-12", "Without PV_TIME_ST KVM adds to the stolen time that the memory holds and changes nothing"
           " beside it, so that a restored vCPU's does not go back.", "pvtime.c:kvm_update_stolen_time (53f985584e3c)",
           Standing.OBSERVED),
    Clause("PVTIME-2", "PV_TIME_FEATURES answers 0 for PV_TIME_FEATURES and PV_TIME_ST where there is a stolen-time"
           " area, else NOT_SUPPORTED.", "Documentation/virt/kvm/arm/pvtime.rst; pvtime.c:kvm_hypercall_pv_features"),
    Clause("PTP-2", "KVM_PTP gives NOT_SUPPORTED for a counter that is neither the virtual nor the physical one.",
           "Documentation/virt/kvm/arm/ptp_kvm.rst; hypercalls.c:kvm_ptp_get_time"),
    Clause("TRNG-1", "TRNG_RND gives the entropy asked for, with zeros above it, and different bits each time.",
           "Arm DEN0098; trng.c:kvm_trng_do_rnd"),
    Clause("PTP-3", "KVM_PTP gives the counters as the guest reads them under KVM_ARM_SET_COUNTER_OFFSET too.",
           f"{API} 4.139; hypercalls.c:kvm_ptp_get_time"),
    Clause("PTP-1", "KVM_PTP gives the host's wall clock and the counter as the guest reads it.",
           "Documentation/virt/kvm/arm/ptp_kvm.rst; hypercalls.c:kvm_ptp_get_time"),
    Clause("FEAT-1", "KVM_FEATURES shows the vendor services' bitmaps as they are set.",
           "Documentation/virt/kvm/arm/hypercalls.rst"),
    Clause("PVTIME-1", "PV_TIME_ST gives the address of the zeroed stolen-time area, or NOT_SUPPORTED without one.",
           "Documentation/virt/kvm/arm/pvtime.rst; Arm DEN0057"),
)  # fmt: skip
