# SPDX-License-Identifier: GPL-2.0-only
"""The bitmap registers after KVM_RUN."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("LOCK-1", "Once any vCPU of the VM has run, KVM_SET_ONE_REG of another value for a bitmap register fails"
           " with EBUSY.", f"{RFC}; {FW}; {SET}"),
    Clause("LOCK-2", "Once any vCPU of the VM has run, KVM_SET_ONE_REG of a bitmap register's current value still"
           " succeeds.", f"{SET} (528ada2811ba)", Standing.OBSERVED),
    Clause("LOCK-3", "Once any vCPU of the VM has run, KVM_SET_ONE_REG of a bitmap with an unsupported bit still fails"
           " with EINVAL, not with EBUSY.", SET, Standing.OBSERVED),
    Clause("LOCK-4", "Once any vCPU of the VM has run, KVM_GET_ONE_REG of a bitmap register still returns the value"
           " that was set before.", f"{API} 4.69; hypercalls.c:kvm_arm_get_fw_reg", Standing.OBSERVED),
    Clause("LOCK-5", "A KVM_SET_ONE_REG of a bitmap register that fails does not change the answers that the guest"
           " gets.", f"{RFC}; {FW}; {SET}"),
    Clause("LOCK-6", "KVM_RUN with immediate_exit set locks the bitmap registers.",
           "arm.c:kvm_arch_vcpu_run_pid_change", Standing.OBSERVED),
)  # fmt: skip
