# SPDX-License-Identifier: GPL-2.0-only
"""Faults of other processes, of histories, and of what refused calls and closed VMs leave behind."""

from __future__ import annotations

from faults.fault import rows

_VCPU = "kvm_vcpu_ioctl"

LEFT_BEHIND = (
    *rows(
        _VCPU,
        ("process-vcpu-served", "PROCESS-1", "a vCPU's ioctls are served in every process"),
        ("process-clears", "PROCESS-1", "an ioctl of another process empties the bitmap registers"),
        ("process-locks", "PROCESS-1", "an ioctl of another process locks the registers"),
        ("process-unlocks", "PROCESS-1", "an ioctl of another process unlocks the registers"),
        ("history-17th-write", "HISTORY-1", "the 17th change in a VM gives EBUSY"),
        ("history-100th-refused", "HISTORY-1", "the 100th unsupported bit in a VM gives 0"),
        ("history-write-after-reads", "HISTORY-1", "a change after 17 reads is ignored"),
        ("history-write-after-refusals", "HISTORY-1", "a change after five unsupported bits gives EBUSY"),
        ("history-same-value-clears", "HISTORY-1", "the same value, written 12 times, empties the register"),
        ("left-leak-refused", "LEFT-1", "an unsupported bit leaks 64 bytes"),
        ("left-leak-busy", "LEFT-1", "a change after KVM_RUN leaks 24 bytes"),
        ("left-leak-fd", "LEFT-2", "KVM_GET_REG_LIST with E2BIG leaves an fd open"),
        ("left-leak-task", "LEFT-2", "a refused KVM_SET_MP_STATE leaves a kernel thread behind"),
        ("left-leak-finalize", "LEFT-1", "KVM_ARM_VCPU_FINALIZE that is refused with EPERM leaks 2000 bytes"),
        ("left-lock-held", "LEFT-3", "a refused KVM_SET_DEVICE_ATTR of a vCPU leaves the vCPU's mutex locked"),
        ("left-log-refused", "LEFT-4", "an unsupported bit writes a line of KVM to the kernel's log"),
        ("left-log-unnamed", "LEFT-4", "an unsupported bit writes a line to the kernel's log that does not name KVM"),
        ("left-list-writes", "LEFT-5", "KVM_GET_REG_LIST with E2BIG writes an id"),
        ("left-attr-writes", "LEFT-5", "a refused KVM_GET_DEVICE_ATTR writes to its pointer"),
        ("left-run-writes", "LEFT-5", "a refused KVM_RUN writes struct kvm_run"),
        ("left-attr-writes-more", "LEFT-6", "KVM_GET_DEVICE_ATTR writes sixteen bytes"),
        ("left-timer-writes-more", "LEFT-6", "KVM_GET_DEVICE_ATTR of a timer's interrupt writes eight bytes"),
    ),
    *rows(
        "kvm_vm_ioctl",
        ("process-vm-served", "PROCESS-1", "a VM's ioctls are served in every process"),
        ("left-leak-device-test", "LEFT-1", "a test of a device's type leaks 200 bytes"),
        ("left-leak-page", "LEFT-1", "a refused KVM_ENABLE_CAP leaks a page"),
    ),
    *rows(
        "filp_close",
        ("process-close-clears", "PROCESS-2", "the end of a process with a vCPU's fd empties the registers"),
    ),
    *rows("file_close_fd", ("process-close-fd-clears", "PROCESS-2", "close(2) of a vCPU's fd empties the registers")),
    *rows(
        "kvm_arm_init_hypercalls",
        ("process-child-vm-empty", "PROCESS-3", "the registers of a VM that a child creates are empty"),
    ),
    *rows(
        "kvm_arch_vcpu_postcreate kvm_arch_destroy_vm",
        ("history-address-value", "HISTORY-2", "a VM has the registers of the closed one whose vCPU had this address"),
        ("history-address-locked", "HISTORY-2", "a VM has the lock of the closed one whose vCPU had this address"),
    ),
    *rows(
        "kvm_arm_init_hypercalls kvm_arch_destroy_vm",
        ("history-vm-address-value", "HISTORY-2", "a VM has the registers of the closed VM at its address"),
        ("history-vm-address-psci", "HISTORY-2", "a VM has the PSCI_VERSION of the closed VM at its address"),
    ),
    *rows(
        "kvm_arm_init_hypercalls kvm_arch_destroy_vm kvm_vcpu_ioctl",
        ("history-vm-address-locked", "HISTORY-2", "a VM has the lock of the closed VM at its address"),
    ),
    *rows(
        "kvm_arm_init_hypercalls kvm_arch_destroy_vm kvm_vm_smccc_set_attr",
        ("history-vm-address-filter", "HISTORY-2", "a VM has the filter of the closed VM at its address"),
    ),
    *rows(
        "kvm_smccc_call_handler",
        ("left-leak-call", "LEFT-1", "a guest's call that gives NOT_SUPPORTED leaks 100 bytes"),
        ("left-log-call", "LEFT-4", "a guest's call that gives NOT_SUPPORTED writes a line to the kernel's log"),
    ),
    *rows(
        "kvm_arm_set_fw_reg",
        ("left-log-psci", "LEFT-4", "a write of PSCI_VERSION after KVM_RUN writes a line to the kernel's log"),
    ),
    *rows(
        "kvm_arch_vcpu_precreate",
        ("left-vcpus-counted", "LEFT-2", "refused KVM_CREATE_VCPU calls count as vCPUs of the VM"),
    ),
    *rows(
        "kvm_smccc_call_handler kvm_arch_vcpu_ioctl_run",
        ("history-late-call", "HISTORY-1", "a VM's first call of a service after 24 runs is refused"),
    ),
    *rows(
        "kvm_device_ioctl",
        ("left-device-lock-held", "LEFT-3", "a vGIC access that EBUSY refuses leaves the second vCPU's mutex locked"),
    ),
    *rows("handle_smc", ("left-log-immediate", "LEFT-4", "SMC with an immediate writes a rate-limited line")),
    *rows("kvm_arch_destroy_vm", ("left-leak-exit", "LEFT-1", "a VM of a process that ends leaks 2000 bytes")),
    *rows("kvm_arch_destroy_vm", ("left-leak-vm", "LEFT-1", "a closed VM leaks 200 bytes")),
)
