# SPDX-License-Identifier: GPL-2.0-only
"""The answers that a guest gets to its hypercalls."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, FW, Clause, Standing

ALLOWED = "hypercalls.c:kvm_smccc_default_allowed"
VCPU = "Documentation/virt/kvm/devices/vcpu.rst 3.1"

CLAUSES = (
    Clause("CALL-1", "A hypercall whose bit is set returns its service's answer in x0 to x3.", f"{FW}; {CALL}"),
    Clause("CALL-2", "A hypercall whose bit is clear returns NOT_SUPPORTED (-1, 64 bits) in x0 and zero in x1 to x3.",
           f"{FW}; {CALL}; Arm DEN0028"),
    Clause("CALL-3", "The answer to a hypercall that no bit gates does not depend on the bitmap registers.", ALLOWED,
           Standing.OBSERVED),
    Clause("CALL-4", "A hypercall preserves x4 to x17.", "Arm DEN0028 (SMCCC 1.1)"),
    Clause("CALL-5", "Bits 31:0 of x0 are the function identifier; bits 63:32 are ignored.",
           "Arm DEN0028; arm_hypercalls.h:smccc_get_function"),
    Clause("CALL-6", "The immediate of an HVC instruction does not affect the answer.", "handle_exit.c:handle_hvc",
           Standing.OBSERVED),
    Clause("CALL-7", "A function identifier that KVM does not implement returns NOT_SUPPORTED in x0 and zero in x1 to"
           " x3, whatever the bitmap registers hold.", f"Arm DEN0028; {CALL}"),
    Clause("CALL-8", "A hypercall preserves x18 to x30, the stack pointers and the vector registers.",
           "Arm DEN0028 (SMCCC 1.1)"),
    Clause("SMC-1", "If KVM handles SMC as a hypercall, SMC #0 gives the same answers as HVC, gated by the same bits.",
           "handle_exit.c:handle_smc (c2d2e9b3d8ce)", Standing.OBSERVED),
    Clause("SMC-2", "An SMC that KVM does not handle as a hypercall (a non-zero immediate, or any SMC before Linux 6.4)"
           " returns NOT_SUPPORTED in x0, preserves the other registers, and the guest continues after it.",
           "Arm DEN0028, SMC and HVC immediate value; handle_exit.c:handle_smc", Standing.OBSERVED),
    Clause("WA-1", "ARCH_WORKAROUND_1 to 3 return 0 in x0 by HVC and are not implemented by SMC, whatever the bitmap"
           " registers hold.", "hyp-entry.S:el1_sync (1de111b51b82)", Standing.OBSERVED),
    Clause("ARCH-1", "ARCH_FEATURES returns 0 for PV_TIME_FEATURES if the PV_TIME bit is set, with or without a"
           " stolen-time area, and NOT_SUPPORTED if it is clear. It returns NOT_SUPPORTED for every other function that"
           " a bit gates.", f"Documentation/virt/kvm/arm/pvtime.rst; {CALL}"),
    Clause("TRNG-1", "TRNG_RND32 and TRNG_RND64 return the requested number of random bits, with zeros above them, and"
           " different bits for each call.", "Arm DEN0098; trng.c:kvm_trng_do_rnd"),
    Clause("TRNG-2", "TRNG_FEATURES returns 0 if x1, in all 64 bits, is one of the five TRNG functions, and"
           " NOT_SUPPORTED otherwise.", "Arm DEN0098; trng.c:kvm_trng_call"),
    Clause("PVTIME-1", "PV_TIME_ST zeroes the vCPU's stolen-time area and returns its address, or NOT_SUPPORTED if the"
           " vCPU has none.",
           "Documentation/virt/kvm/arm/pvtime.rst; Arm DEN0057; pvtime.c:kvm_init_stolen_time"),
    Clause("PVTIME-2", "PV_TIME_FEATURES returns 0 for PV_TIME_FEATURES and PV_TIME_ST if the vCPU has a stolen-time"
           " area, and NOT_SUPPORTED otherwise.",
           "Documentation/virt/kvm/arm/pvtime.rst; pvtime.c:kvm_hypercall_pv_features"),
    Clause("PVTIME-3", "KVM_ARM_VCPU_PVTIME_IPA accepts one address for each vCPU, 64-byte aligned and in a memory"
           " slot. Any other address gives EINVAL, and a second one EEXIST.",
           f"{VCPU}; pvtime.c:kvm_arm_pvtime_set_attr"),
    Clause("PVTIME-4", "KVM_GET_DEVICE_ATTR of KVM_ARM_VCPU_PVTIME_IPA returns the address, and all ones if none is"
           " set.", "pvtime.c:kvm_arm_pvtime_get_attr", Standing.OBSERVED),
    Clause("PVTIME-5", "KVM_ARM_VCPU_PVTIME_IPA checks in this order: another attribute of the group (ENXIO), the"
           " pointer (EFAULT), the alignment (EINVAL), an address that is set already (EEXIST), the memory slot"
           " (EINVAL).", "pvtime.c:kvm_arm_pvtime_set_attr, kvm_arm_pvtime_get_attr, kvm_arm_pvtime_has_attr",
           Standing.OBSERVED),
    Clause("PVTIME-6", "The stolen-time address, KVM_CAP_STEAL_TIME and KVM_CAP_PTP_KVM do not depend on the bitmap"
           " registers, on KVM_RUN or on KVM_ARM_VCPU_INIT.",
           "pvtime.c:kvm_arm_pvtime_supported; arm.c:kvm_vm_ioctl_check_extension", Standing.OBSERVED),
    Clause("PVTIME-7", "Each vCPU has its own stolen-time area.",
           f"{VCPU}; Documentation/virt/kvm/arm/pvtime.rst; pvtime.c:kvm_init_stolen_time"),
    Clause("PVTIME-8", "After PV_TIME_ST, the stolen time is the time in nanoseconds in which the vCPU's thread was"
           " involuntarily not running on a physical CPU. It never decreases.",
           "Documentation/virt/kvm/arm/pvtime.rst; pvtime.c:kvm_update_stolen_time"),
    Clause("PVTIME-9", "KVM_ARM_VCPU_PVTIME_IPA refuses an address in a read-only slot with EINVAL, and KVM does not"
           " write to the slot.", f"{API} 4.35, KVM_MEM_READONLY; pvtime.c:kvm_arm_pvtime_set_attr", Standing.OBSERVED),
    Clause("PVTIME-10", "If the stolen-time area has no writable memory, PV_TIME_ST returns its address or"
           " NOT_SUPPORTED, the memory does not change, and the guest continues. Once the memory is writable again,"
           " PV_TIME_ST works as before.",
           f"Documentation/virt/kvm/arm/pvtime.rst; {API} 4.35; pvtime.c:kvm_init_stolen_time"),
    Clause("PVTIME-11", "The dirty log contains the page of the stolen-time area after KVM has written to it.",
           f"{API} 4.8; pvtime.c:kvm_init_stolen_time, kvm_update_stolen_time"),
    Clause("PVTIME-12", "Without PV_TIME_ST, KVM adds to the stolen time that the memory holds and changes nothing else"
           " in the area, so that the stolen time of a restored vCPU does not decrease.",
           "pvtime.c:kvm_update_stolen_time (53f985584e3c)", Standing.OBSERVED),
    Clause("PTP-1", "KVM_PTP returns the host's wall clock and the counter as the guest reads it.",
           "Documentation/virt/kvm/arm/ptp_kvm.rst; hypercalls.c:kvm_ptp_get_time"),
    Clause("PTP-2", "KVM_PTP returns NOT_SUPPORTED for a counter that is neither the virtual nor the physical one.",
           "Documentation/virt/kvm/arm/ptp_kvm.rst; hypercalls.c:kvm_ptp_get_time"),
    Clause("PTP-3", "After KVM_ARM_SET_COUNTER_OFFSET too, KVM_PTP returns the counters as the guest reads them.",
           f"{API}, KVM_ARM_SET_COUNTER_OFFSET; hypercalls.c:kvm_ptp_get_time"),
    Clause("FEAT-1", "KVM_FEATURES returns the current values of the VENDOR_HYP bitmap registers.",
           f"Documentation/virt/kvm/arm/hypercalls.rst; {CALL}"),
)  # fmt: skip
