# SPDX-License-Identifier: GPL-2.0-only
"""What refused calls and closed VMs must not leave behind."""

from __future__ import annotations

from helpers.contract.clauses.base import API, Clause, Standing

CLAUSES = (
    Clause("LEFT-1", "Refused calls, calls of a guest, and VMs that are created and closed do not make the kernel's"
           " memory grow with their number.", "Documentation/process/coding-style.rst 7 (each exit of a function frees"
           " what it allocated); kvm_main.c:kvm_destroy_vm"),
    Clause("LEFT-2", "A refused call leaves no fd, vCPU, thread or task. A VM leaves none after it is closed.",
           f"{API} 2 (a VM is released with its last fd); kvm_main.c:kvm_vm_release, kvm_vcpu_release"),
    Clause("LEFT-3", "After a refused call, every other call on the VM and its vCPUs returns: no lock is left held.",
           "Documentation/virt/kvm/locking.rst; kvm_main.c:kvm_vcpu_ioctl"),
    Clause("LEFT-4", "Refused calls of user space, accesses to firmware registers and calls of a guest write nothing to"
           " the kernel's log.",
           "Documentation/process/coding-style.rst 13 (no message that user space can cause without limit);"
           " hypercalls.c:kvm_arm_set_fw_reg, kvm_smccc_call_handler; psci.c:kvm_psci_call",
           Standing.OBSERVED),
    Clause("LEFT-5", "A refused call writes no memory of the caller, but for n of KVM_GET_REG_LIST with E2BIG.",
           f"{API} 4.68, 4.69, 4.80, 4.84; guest.c:kvm_arm_copy_reg_indices", Standing.OBSERVED),
    Clause("LEFT-6", "KVM_GET_ONE_REG writes the register's size, KVM_GET_DEVICE_ATTR of the stolen-time address eight"
           " bytes, and of a timer's interrupt four, KVM_GET_REG_LIST n and the ids, KVM_GET_MP_STATE,"
           " KVM_GET_VCPU_EVENTS and KVM_ARM_PREFERRED_TARGET their structures. KVM_SET_ONE_REG,"
           " KVM_SET_DEVICE_ATTR and KVM_HAS_DEVICE_ATTR write nothing.",
           f"{API} 4.31, 4.38, 4.69, 4.80, 4.83, 4.84; Documentation/virt/kvm/devices/vcpu.rst 2, 3;"
           " pvtime.c:kvm_arm_pvtime_get_attr"),
)  # fmt: skip
