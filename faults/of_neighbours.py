# SPDX-License-Identifier: GPL-2.0-only
"""Faults of PSCI's arguments and exits, of registers that a call must keep, and of the stolen-time area's memory."""

from __future__ import annotations

from faults.fault import rows

PSCI_CALLS = (
    *rows(
        "kvm_smccc_call_handler",
        ("psci-id-wide", "PSCI-6", "CPU_ON and AFFINITY_INFO by a 32-bit id read 64-bit arguments"),
        ("psci-id-narrow", "PSCI-6", "CPU_ON and AFFINITY_INFO by a 64-bit id read 32-bit arguments"),
        ("psci-features-wide", "PSCI-6", "PSCI_FEATURES refuses an id with a bit set in its upper half"),
        ("psci-reserved-bits", "PSCI-7", "reserved bits of a target are ignored"),
        ("psci-reserved-bit-31", "PSCI-7", "bit 31 of a target is ignored"),
        ("psci-on-reserved-bits", "PSCI-7", "CPU_ON ignores reserved bits of its target"),
        ("psci-target-by-id", "PSCI-7", "the target is a vCPU's id, and not its MPIDR_EL1"),
        ("psci-level-ignored", "PSCI-7", "AFFINITY_INFO ignores its level"),
        ("psci-level-4", "PSCI-7", "AFFINITY_INFO treats level 4 as level 3"),
        ("psci-level-off", "PSCI-7", "AFFINITY_INFO gives OFF at every level above 0"),
        ("psci-context-lost", "PSCI-8", "CPU_ON's context id is 0"),
        ("psci-context-at-0", "PSCI-8", "CPU_ON's context id is 0 if its entry is"),
        ("psci-context-32-bits", "PSCI-8", "CPU_ON's context id is cut to 32 bits"),
        ("psci-entry-32-bits", "PSCI-8", "CPU_ON's entry is cut to 32 bits"),
        ("psci-on-twice", "PSCI-8", "CPU_ON of a vCPU that is on gives 0"),
        ("psci-on-restarts", "PSCI-8", "CPU_ON of a vCPU that is on restarts it"),
        ("suspend-holds-lock", "RACE-4", "CPU_SUSPEND holds the lock of the registers"),
        ("suspend-extended", "PSCI-13", "CPU_SUSPEND refuses a power-down state in the extended format"),
        ("suspend-power-down", "PSCI-13", "CPU_SUSPEND refuses a power-down state"),
        ("suspend-clobbers-x5", "PSCI-13", "CPU_SUSPEND zeroes x5"),
        ("system-no-data", "PSCI-9", "a system event has ndata 0"),
        ("system-flag-missing", "PSCI-9", "SYSTEM_RESET2's flag is not set"),
        ("system-flag-always", "PSCI-9", "SYSTEM_RESET2's flag is set for every system event"),
        ("system-type-other", "PSCI-9", "a shutdown is reported as a reset, and a reset as a shutdown"),
        ("system-x0-success", "PSCI-9", "x0 is 0 after a system event"),
        ("system-pc-at-call", "PSCI-9", "the guest's PC after a system event is at its HVC"),
        ("system-arguments-lost", "PSCI-9", "SYSTEM_RESET2's arguments are lost"),
        ("system-others-run", "PSCI-10", "a system event stops the calling vCPU only"),
        ("system-caller-runs", "PSCI-10", "a system event stops every vCPU but the calling one"),
        ("system-stopped-run", "PSCI-10", "KVM_RUN runs the guests of vCPUs that a system event has stopped"),
        ("cpu-off-returns", "PSCI-14", "CPU_OFF returns"),
        ("cpu-off-last-denied", "PSCI-14", "CPU_OFF of the last of several vCPUs returns DENIED"),
        ("cpu-off-stops-all", "PSCI-14", "CPU_OFF stops every vCPU"),
        ("psci-0-1-refused", "PSCI-8 PSCI-14", "PSCI 0.1's functions are refused"),
        ("system-any-type", "PSCI-11", "SYSTEM_RESET2 accepts reserved types"),
        ("system-suspend-always", "PSCI-12", "SYSTEM_SUSPEND exits to user space without its capability"),
        ("system-suspend-x1-lost", "PSCI-12", "SYSTEM_SUSPEND zeroes x1"),
        ("system-suspend-stops", "PSCI-12", "SYSTEM_SUSPEND stops the second vCPU"),
        ("clobbers-x18", "CALL-8", "a call zeroes x18"),
        ("clobbers-sp", "CALL-8", "a call zeroes SP_EL0"),
    ),
    *rows("kvm_reset_vcpu", ("psci-on-unmasked", "PSCI-8", "a vCPU starts with interrupts enabled")),
    *rows(
        "kvm_reset_vcpu kvm_arch_vcpu_ioctl_run",
        ("psci-on-again-unmasked", "PSCI-8", "a vCPU that has run starts with FIQs enabled"),
    ),
    *rows(
        "kvm_smccc_call_handler kvm_arch_vcpu_postcreate",
        ("psci-on-late", "PSCI-8", "CPU_ON does not find a vCPU that was created after a run"),
    ),
    *rows(
        "kvm_arch_vcpu_ioctl_run",
        ("system-run-wakes", "PSCI-10", "KVM_RUN makes a vCPU runnable that a system event has stopped"),
        ("clobbers-v8", "CALL-8", "KVM_RUN zeroes v8"),
    ),
    *rows("handle_smc", ("smc-immediate-low-byte", "SMC-2", "SMC with an immediate is served if its low byte is 0")),
)

AREA_MEMORY = (
    *rows(
        "kvm_vcpu_ioctl",
        ("psci-state-drops-reset", "PSCI-8", "KVM_SET_MP_STATE cancels the reset that CPU_ON requested"),
        ("has-attr-after-run", "NEIGHBOUR-2", "the stolen-time address is not found after KVM_RUN"),
        ("has-attr-once-set", "NEIGHBOUR-2", "the stolen-time address is not found once it is set"),
    ),
    *rows(
        "kvm_vm_smccc_has_attr",
        ("filter-has-after-run", "NEIGHBOUR-2", "the filter is not found after KVM_RUN"),
        ("filter-has-pointer", "NEIGHBOUR-2", "KVM_HAS_DEVICE_ATTR of the filter with a bad pointer fails"),
    ),
    *rows("kvm_arm_pvtime_set_attr", ("pvtime-read-only", "PVTIME-9", "an address in a read-only slot is accepted")),
    *rows(
        "kvm_init_stolen_time",
        ("pv-st-writes-read-only", "PVTIME-10", "PV_TIME_ST zeroes read-only memory"),
        ("pv-st-kills-vm", "PVTIME-10", "PV_TIME_ST without writable memory ends the VM"),
        ("pv-st-forgets-area", "PVTIME-10", "PV_TIME_ST without writable memory removes the address"),
        ("pv-st-not-dirty", "PVTIME-11", "the dirty log lacks PV_TIME_ST's write"),
    ),
    *rows(
        "kvm_update_stolen_time",
        ("stolen-time-not-dirty", "PVTIME-11", "the dirty log lacks the writes of the stolen time"),
        ("stolen-time-needs-call", "PVTIME-12", "the stolen time does not grow before PV_TIME_ST"),
        ("stolen-time-restarts", "PVTIME-12", "the stolen time starts from 0 in a restored VM"),
        ("stolen-time-attributes", "PVTIME-12", "the revision and the attributes are written with the stolen time"),
    ),
)
