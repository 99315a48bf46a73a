# SPDX-License-Identifier: GPL-2.0-only
"""Calls that several threads make to one VM at the same time."""

from __future__ import annotations

from helpers.contract.clauses.base import SET, Clause, Standing

_LOCK = f"{SET}; arm.c:kvm_arch_vcpu_run_pid_change (kvm->arch.config_lock, 4bba7f7def6f)"

CLAUSES = (
    Clause("RACE-1", "A write that is concurrent with the first KVM_RUN takes effect either before it, so that the"
           " guest sees its value, or after it, so that a changed value is refused. All answers agree with one of the"
           " two orders.", _LOCK, Standing.OBSERVED),
    Clause("RACE-2", "Concurrent writes and reads through several vCPUs agree with one order of these calls. A read"
           " returns no value that was not written.", _LOCK, Standing.OBSERVED),
    Clause("RACE-3", "Creating and closing VMs concurrently changes nothing in another VM, and that VM changes nothing"
           " in them.", _LOCK, Standing.OBSERVED),
    Clause("RACE-4", "While a vCPU runs guest code, KVM_GET_ONE_REG and KVM_SET_ONE_REG on it wait until KVM_RUN"
           " returns. On another vCPU they return at once, with the answers of a VM that has run.",
           "kvm_main.c:kvm_vcpu_ioctl (vcpu->mutex)", Standing.OBSERVED),
    Clause("RACE-5", "KVM_SET_ONE_REG reads struct kvm_one_reg and the value once: if another thread changes them"
           " concurrently, the value that is checked is the value that is stored.",
           "arm.c:kvm_arch_vcpu_ioctl; hypercalls.c:kvm_arm_set_fw_reg (copy_from_user)", Standing.OBSERVED),
    Clause("RACE-6", "KVM_SET_DEVICE_ATTR reads an SMCCC filter once: if another thread changes it concurrently, the"
           " range and the action that are checked take effect.",
           "hypercalls.c:kvm_smccc_set_filter (copy_from_user)", Standing.OBSERVED),
    Clause("RACE-7", "Creating vCPUs, initialising them again, listing and reading their registers concurrently"
           " changes neither the effect of writes through another vCPU nor the list.", _LOCK, Standing.OBSERVED),
)  # fmt: skip
