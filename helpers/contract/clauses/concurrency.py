# SPDX-License-Identifier: GPL-2.0-only
"""What holds when several threads use one VM at once."""

from __future__ import annotations

from helpers.contract.clauses.base import SET, Clause, Standing

_LOCK = f"{SET}; arm.c:kvm_arch_vcpu_run_pid_change (kvm->arch.config_lock, 4bba7f7def6f)"

CLAUSES = (
    Clause("RACE-1", "A write beside the first KVM_RUN comes before it, and the guest sees its value, or after it,"
           " and is refused if it would change the value: every answer agrees with one order of events.",
           _LOCK, Standing.OBSERVED),
    Clause("RACE-2", "Writes and reads through several vCPUs at once agree with one order of events; a read gives"
           " nothing that was not written.", _LOCK, Standing.OBSERVED),
    Clause("RACE-3", "VMs that come and go beside a VM change nothing in it, nor it in them.",
           _LOCK, Standing.OBSERVED),
    Clause("RACE-4", "While a vCPU is inside the guest, its ONE_REG calls wait until it comes out, and those of another"
           " vCPU are answered at once, as of a VM that has run.",
           "kvm_main.c:kvm_vcpu_ioctl (vcpu->mutex)", Standing.OBSERVED),
    Clause("RACE-5", "KVM_SET_ONE_REG reads its structure and its value once: if another thread changes them meanwhile,"
           " the value that is checked is the value that is stored.",
           "arm.c:kvm_arch_vcpu_ioctl, hypercalls.c:kvm_arm_set_fw_reg (copy_from_user)", Standing.OBSERVED),
    Clause("RACE-6", "A filter is read once: if another thread changes it meanwhile, the range and the action that"
           " are checked take effect.", "hypercalls.c:kvm_smccc_set_filter (copy_from_user)", Standing.OBSERVED),
    Clause("RACE-7", "While vCPUs are created, are initialised again, list their registers and read them, writes"
           " through another vCPU keep their effect, and the list stays the same.", _LOCK, Standing.OBSERVED),
)  # fmt: skip
