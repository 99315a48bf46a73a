# SPDX-License-Identifier: GPL-2.0-only
"""Faults of runs, of the creation and reset of vCPUs, and of the registers beside the bitmaps."""

from __future__ import annotations

from faults.fault import rows

RUN = (
    *rows(
        "kvm_vcpu_ioctl",
        ("run-argument-locks", "RUN-1", "KVM_RUN with an argument locks"),
        ("run-dead-lives", "RUN-9", "a VM that is marked dead can still run"),
    ),
    *rows(
        "kvm_arch_vcpu_ioctl_run kvm_arch_vcpu_run_pid_change",
        ("run-signal-forgets", "RUN-4", "a KVM_RUN that a signal ended does not lock"),
        ("run-failure-forgets", "RUN-5", "a KVM_RUN that failed does not lock"),
    ),
    *rows(
        "kvm_arch_vcpu_postcreate",
        ("late-vcpu-resets", "RUN-7", "creating a vCPU resets the registers"),
        ("late-vcpu-unlocks", "RUN-7", "creating a vCPU unlocks the registers"),
    ),
    *rows("kvm_reset_vcpu", ("reset-resets", "RUN-8 MIGRATE-5", "a vCPU's reset resets the registers")),
    *rows("kvm_arch_vcpu_precreate", ("create-errno", "RUN-10", "KVM_CREATE_VCPU with a ready vGIC gives EINVAL")),
    *rows("kvm_arch_vcpu_ioctl", ("list-unfinalised", "LIST-5", "the list of an unfinalised vCPU gives EINVAL")),
)

RACES = (
    *rows(
        "kvm_arm_set_fw_reg",
        ("race-check-then-store", "RACE-1", "a write during the first KVM_RUN is stored after it"),
        ("race-lock-dropped", "RACE-1", "a write drops the lock between its check and its store"),
        ("race-no-lock", "RACE-1", "a write takes no lock; one in 64 is interrupted for 0.3 ms before its store"),
        ("race-torn-write", "RACE-2", "a write shows an empty register for an instant"),
        ("race-value-twice", "RACE-5", "a write reads the value again after its check"),
        ("race-locked-twice", "RACE-5", "a write to a locked register reads the value again after its check"),
        ("race-transient", "RACE-2", "a write shows a bit that was not written for half a millisecond"),
        ("quiet-warning", "QUIET-1", "a write logs a warning"),
        ("quiet-taint", "QUIET-1", "a write taints the kernel"),
    ),
    *rows(
        "kvm_arm_set_fw_reg kvm_arch_vcpu_ioctl",
        ("race-id-twice", "RACE-5", "a write reads the id again after the check of the value"),
    ),
    *rows(
        "kvm_arm_set_fw_reg kvm_arch_vcpu_ioctl_run",
        ("race-lock-late", "RACE-1", "the registers are locked when the first KVM_RUN returns"),
    ),
    *rows("kvm_arch_vcpu_ioctl", ("race-init-restores", "RACE-7", "KVM_ARM_VCPU_INIT undoes concurrent writes")),
    *rows(
        "kvm_vm_smccc_set_attr",
        ("race-filter-twice", "RACE-6", "KVM_SET_DEVICE_ATTR reads the filter again after its check"),
        ("race-range-twice", "RACE-6", "KVM_SET_DEVICE_ATTR reads the base again for the last function"),
    ),
    *rows(
        "kvm_vcpu_ioctl kvm_arch_vcpu_ioctl_run",
        ("race-others-wait", "RACE-4", "a vCPU's ONE_REG waits while another vCPU runs"),
    ),
)

NEIGHBOURS = (
    *rows(
        "kvm_arm_set_fw_reg",
        ("psci-any-version", "PSCI-1", "every PSCI version is accepted"),
        ("psci-no-0-2", "PSCI-1", "PSCI 0.2 is refused"),
        ("psci-without-feature", "PSCI-2", "without PSCI_0_2 every version is accepted"),
        ("psci-locked", "PSCI-3", "PSCI_VERSION is locked after KVM_RUN"),
        ("psci-first-vcpu-only", "PSCI-3", "PSCI_VERSION can be set through the first vCPU only"),
        ("workaround-any-level", "WORKAROUND-2", "every level is accepted"),
        ("workaround-locked", "WORKAROUND-2", "workaround registers are locked after KVM_RUN"),
        ("psci-empties-bitmaps", "NEIGHBOUR-1", "writing PSCI_VERSION empties STD"),
        ("bitmap-resets-psci", "NEIGHBOUR-1", "writing a bitmap resets PSCI_VERSION"),
    ),
    *rows("kvm_arm_get_fw_reg", ("workaround-level-wrong", "WORKAROUND-1", "workaround registers read another level")),
    *rows(
        "kvm_smccc_call_handler",
        ("psci-all-gated", "PSCI-4", "PSCI is refused where STD is empty"),
        ("services-need-psci-1", "PSCI-5", "services are refused where PSCI is older than 1.0"),
        ("ptp-ignores-offset", "PTP-3", "KVM_PTP's counter is the host's"),
    ),
)

PV_TIME = (
    *rows(
        "kvm_arm_pvtime_set_attr",
        ("pvtime-any-address", "PVTIME-3", "every address of a stolen-time area is accepted"),
        ("pvtime-twice", "PVTIME-3", "the address can be set twice"),
        ("pvtime-twice-stopped", "PVTIME-3", "the address of a stopped vCPU can be set twice"),
        ("pvtime-exists-first", "PVTIME-5", "a second address gives EEXIST before any other error"),
        ("pvtime-locked", "PVTIME-6", "the address is locked after KVM_RUN"),
        ("pvtime-gated", "PVTIME-6", "the attribute needs STD_HYP's bit"),
        ("pvtime-shared", "PVTIME-7", "all vCPUs get the address of the last"),
        ("pvtime-attribute-errno", "PVTIME-5", "another attribute of the group gives EINVAL"),
    ),
    *rows("kvm_vm_ioctl_check_extension", ("pvtime-cap-gated", "PVTIME-6", "KVM_CAP_STEAL_TIME needs STD_HYP's bit")),
    *rows("kvm_arm_pvtime_get_attr", ("pvtime-reads-zero", "PVTIME-4", "the address reads as 0")),
    *rows(
        "kvm_update_stolen_time",
        ("stolen-time-too-fast", "PVTIME-8", "the stolen time is a second too large"),
        ("stolen-time-never", "PVTIME-8", "the stolen time stays 0"),
    ),
)
