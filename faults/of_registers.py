# SPDX-License-Identifier: GPL-2.0-only
"""Faults of the capability, the values, limits and lock of the registers, and their ioctls."""

from __future__ import annotations

from faults.fault import rows

CAPABILITY = (
    *rows(
        "kvm_vm_ioctl_check_extension",
        ("cap-answered", "CAP-1", "mainline answers 207 with 3"),
        ("cap-on-dev-kvm-only", "CAP-1", "207 answers 3 on /dev/kvm and 0 on a VM"),
        ("cap-on-vm-only", "CAP-1", "207 answers 0 on /dev/kvm and 3 on a VM"),
        ("cap-unanswered", "CAP-1", "the RFC's 207 answers 0"),
        ("cap-one-more", "CAP-1", "207 answers one more than there are registers"),
        ("cap-boolean", "CAP-1", "the RFC's 207 answers 1"),
    ),
    *rows(
        "kvm_vm_ioctl_enable_cap",
        ("enable-accepted", "ENABLE-1", "KVM_ENABLE_CAP(207) succeeds"),
        ("enable-errno", "ENABLE-1", "KVM_ENABLE_CAP(207) gives EPERM"),
        ("enable-empties", "ENABLE-1", "KVM_ENABLE_CAP(207) is refused and empties the registers"),
    ),
    *rows(
        "kvm_arm_copy_fw_reg_indices kvm_arm_get_fw_num_regs",
        ("list-none", "CAP-2 CAP-3", "the list has no bitmap register"),
        ("list-one-missing", "CAP-2 CAP-3", "the list lacks STD_HYP"),
        ("list-one-twice", "CAP-2 LIST-1", "the list has STD_HYP twice"),
        ("list-needs-psci", "LIST-1", "the list lacks PSCI_VERSION without PSCI_0_2"),
        ("list-unknown", "CAP-2 LIST-1", "the list has a register that cannot be read"),
    ),
    *rows(
        "kvm_arch_vcpu_ioctl",
        ("list-number-kept", "LIST-2", "E2BIG does not write n back"),
        ("list-room-errno", "LIST-2", "too little room gives ENOMEM"),
        ("list-room-silent", "LIST-2", "too little room succeeds"),
        ("list-overrun", "LIST-1 LIST-2", "the list is one id longer than n"),
        ("list-fault-errno", "LIST-3", "a list that cannot be written gives EINVAL"),
        ("list-fault-silent", "LIST-3", "a list that cannot be written succeeds"),
        ("list-uninitialised", "LIST-4", "the list of an uninitialised vCPU gives EINVAL"),
    ),
    *rows("kvm_arch_vm_ioctl", ("list-on-vm", "LIST-4", "the list on a VM's fd gives ENOTTY")),
)

DEFAULTS = (
    *rows(
        "kvm_arm_init_hypercalls",
        ("default-empty", "DEFAULT-1", "a new VM's registers are empty"),
        ("default-bit-missing", "DEFAULT-1", "a new VM's VENDOR_HYP lacks its highest bit"),
        ("default-bit-extra", "DEFAULT-1", "a new VM's STD has a bit too many"),
    ),
    *rows(
        "kvm_arm_init_hypercalls kvm_arm_set_fw_reg",
        ("default-last-written", "DEFAULT-2", "a new VM starts with the last value written in any VM"),
    ),
    *rows(
        "kvm_arm_set_fw_reg kvm_arm_get_fw_reg",
        ("vm-shared", "DEFAULT-2 RACE-3", "reads give the last value written in any VM"),
        ("vcpu-others-empty", "DEFAULT-3", "all vCPUs but the first read nothing"),
        ("vcpu-own-value", "DEFAULT-3", "all vCPUs but the first have registers of their own"),
    ),
)

VALUES = (
    *rows(
        "kvm_arm_get_fw_reg",
        ("get-always-full", "LIMIT-1", "reads give every supported bit"),
        ("get-extra-bit", "LIMIT-1 DEFAULT-1", "reads have bit 32 set"),
        ("get-neighbour", "LIMIT-1 LIMIT-4", "reads give the next register's bits"),
        ("get-clears", "LIMIT-1", "reading empties a register"),
        ("get-full-after-run", "LOCK-4", "after KVM_RUN reads give every supported bit"),
        ("get-empty-after-run", "LOCK-4", "after KVM_RUN reads give nothing"),
        ("get-busy-after-run", "LOCK-4", "after KVM_RUN reads are refused with EBUSY"),
    ),
    *rows(
        "kvm_arm_set_fw_reg",
        ("set-ignored", "LIMIT-1", "writes succeed and change nothing"),
        ("set-first-only", "LIMIT-1 MIGRATE-1", "writes after a VM's first are ignored"),
        ("set-only-sets", "LIMIT-1", "writes set bits and clear none"),
        ("set-only-clears", "LIMIT-1", "writes clear bits and set none"),
        ("set-also-next", "LIMIT-4", "a write also changes the next register"),
        ("set-clears-next", "LIMIT-4 MIGRATE-1", "a write empties the next register"),
        ("limit-none", "LIMIT-2", "every bitmap is accepted"),
        ("limit-one-more", "LIMIT-2", "the first unsupported bit is accepted"),
        ("limit-bit-63", "LIMIT-2", "bit 63 is accepted"),
        ("limit-lower-half", "LIMIT-2", "only the lower 32 bits are checked"),
        ("limit-first-register-only", "LIMIT-2", "only STD is checked"),
        ("limit-any-beside-supported", "LIMIT-2", "any bit is accepted together with a supported one"),
        ("limit-drops-bits", "LIMIT-2 MIGRATE-3", "unsupported bits are dropped without an error"),
        ("limit-silent", "LIMIT-2", "unsupported bits are ignored without an error"),
        ("limit-errno", "LIMIT-2", "an unsupported bit gives EPERM"),
        ("limit-noent", "LIMIT-2", "an unsupported bit gives ENOENT"),
        ("limit-refuses-full", "LIMIT-1", "the full bitmap is refused"),
        ("limit-refuses-empty", "LIMIT-1", "the empty bitmap is refused"),
        ("limit-refuses-ptp-alone", "LIMIT-1", "VENDOR_HYP's PTP is refused without FUNC_FEAT"),
        ("refused-stores", "LIMIT-3 ACCESS-9", "a refused bitmap is stored"),
        ("refused-stores-supported", "LIMIT-3 ACCESS-9", "the supported bits of a refused bitmap are stored"),
        ("refused-clears", "LIMIT-3 ACCESS-9", "a refused bitmap empties the register"),
    ),
)

LOCK = (
    *rows(
        "kvm_arm_set_fw_reg",
        ("lock-missing", "LOCK-1", "registers are never locked"),
        ("lock-std-only", "LOCK-1", "only STD is locked"),
        ("lock-not-vendor", "LOCK-1", "VENDOR_HYP is not locked"),
        ("lock-clearing-only", "LOCK-1", "after KVM_RUN bits can still be set"),
        ("lock-setting-only", "LOCK-1", "after KVM_RUN bits can still be cleared"),
        ("lock-errno", "LOCK-1", "a change after KVM_RUN gives EPERM"),
        ("lock-einval", "LOCK-1", "a change after KVM_RUN gives EINVAL"),
        ("lock-silent", "LOCK-1", "a change after KVM_RUN succeeds and does nothing"),
        ("lock-same-value", "LOCK-2 MIGRATE-5", "after KVM_RUN the same value gives EBUSY (before 528ada2811ba)"),
        ("lock-before-limit", "LOCK-3 ACCESS-8", "after KVM_RUN an unsupported bit gives EBUSY"),
        ("lock-stores", "LOCK-4 LOCK-5", "a change after KVM_RUN gives EBUSY and is made"),
        ("lock-refusal-clears", "LOCK-4 LOCK-5", "a change after KVM_RUN gives EBUSY and empties the register"),
        ("lock-by-write", "LIMIT-1", "a register can be written once"),
    ),
    *rows("kvm_arm_set_fw_reg kvm_arm_get_fw_reg", ("lock-by-read", "LIMIT-1", "a read locks the registers")),
    *rows(
        "kvm_arm_set_fw_reg kvm_smccc_call_handler",
        ("lock-guest-sees", "LOCK-5", "the guest sees the value of a refused write"),
    ),
    *rows(
        "kvm_arm_set_fw_reg kvm_arch_vcpu_run_pid_change",
        ("lock-per-vcpu", "LOCK-1", "only the vCPU that has run refuses changes"),
        ("lock-other-vcpus", "LOCK-1", "the vCPU that has run accepts changes"),
        ("lock-first-vcpu", "LOCK-1 RUN-6", "only a run of the first vCPU locks"),
        ("lock-all-vms", "DEFAULT-2 RUN-6", "a run of one VM locks every VM"),
        ("lock-by-failed-run", "RUN-2 RUN-3", "a KVM_RUN that failed before the guest was ready locks"),
    ),
    *rows(
        "kvm_arm_set_fw_reg kvm_arch_vcpu_ioctl_run",
        ("lock-not-immediate-exit", "LOCK-6 RUN-4", "KVM_RUN with immediate_exit does not lock"),
    ),
    *rows(
        "kvm_arch_vcpu_ioctl",
        ("lock-by-init", "LIMIT-1", "KVM_ARM_VCPU_INIT locks"),
        ("lock-reinit-clears", "RUN-8", "KVM_ARM_VCPU_INIT again unlocks"),
        ("lock-reinit-after-psci", "MODEL-1", "KVM_ARM_VCPU_INIT again unlocks where PSCI_VERSION was written"),
        ("init-resets", "RUN-8", "KVM_ARM_VCPU_INIT again resets the registers"),
        ("init-resets-psci", "PSCI-3", "KVM_ARM_VCPU_INIT again resets PSCI_VERSION"),
        ("init-first-forgets-pvtime", "PVTIME-6", "the first KVM_ARM_VCPU_INIT removes the stolen-time area"),
        ("init-keeps-entry", "RUN-8", "KVM_ARM_VCPU_INIT again keeps the PC and x0"),
        ("init-counts-stolen-twice", "PVTIME-8", "KVM_ARM_VCPU_INIT again counts the stolen time again"),
        ("init-forgets-pvtime", "PVTIME-6", "KVM_ARM_VCPU_INIT again removes the stolen-time area"),
    ),
    *rows("kvm_arch_vcpu_run_pid_change", ("run-clears", "LOCK-4 DEFAULT-1", "KVM_RUN empties the registers")),
)

ACCESS = (
    *rows("kvm_arch_dev_ioctl", ("one-reg-on-dev-kvm", "ACCESS-1", "ONE_REG on /dev/kvm gives ENOTTY")),
    *rows("kvm_arch_vm_ioctl", ("one-reg-on-vm", "ACCESS-1", "KVM_SET_ONE_REG on a VM's fd succeeds")),
    *rows(
        "kvm_arch_vcpu_ioctl",
        ("uninitialised-errno", "ACCESS-2", "ONE_REG on an uninitialised vCPU gives EINVAL"),
        ("uninitialised-silent", "ACCESS-2", "ONE_REG on an uninitialised vCPU succeeds"),
        ("struct-before-init", "ACCESS-2", "ONE_REG on an uninitialised vCPU checks its argument first"),
        ("struct-errno", "ACCESS-3", "a struct kvm_one_reg that cannot be read gives EINVAL"),
        ("pointer-errno", "ACCESS-7", "a value that cannot be reached gives EINVAL"),
        ("pointer-silent", "ACCESS-7", "a value that cannot be reached succeeds"),
    ),
    *rows(
        "kvm_arm_get_reg kvm_arm_set_reg",
        ("id-arch-errno", "ACCESS-4", "another architecture's id gives ENOENT"),
        ("id-arch-ignored", "ACCESS-4", "the id's architecture is ignored"),
        ("id-size-errno", "ACCESS-5", "an id of another size gives EINVAL"),
        ("id-size-ignored", "ACCESS-5", "the id's size is ignored"),
        ("id-stray-bits-ignored", "ACCESS-6", "bits 28 to 31 of an id are ignored"),
        ("id-index-truncated", "ACCESS-6", "only eight bits of the index are compared"),
        ("id-unknown-errno", "ACCESS-6", "an unknown index gives EINVAL"),
        ("id-unknown-silent", "ACCESS-6", "an unknown index succeeds"),
        ("get-writes-more", "ACCESS-10", "a read writes 16 bytes"),
        ("failed-get-writes", "ACCESS-9", "a failed read writes the caller's memory"),
    ),
    *rows("kvm_arm_set_reg", ("set-id-before-pointer", "ACCESS-6 ACCESS-7", "a write checks the id first")),
)
