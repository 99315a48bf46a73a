# SPDX-License-Identifier: GPL-2.0-only
"""The bitmap registers after KVM_RUN."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("LOCK-1", "Once any vCPU of the VM has run, a write that changes a bitmap register is refused with EBUSY.",
           f"{RFC}; {FW}; {SET}"),
    Clause("LOCK-2", "Once any vCPU of the VM has run, writing the current value of a bitmap register still succeeds.",
           f"{SET} (528ada2811ba)", Standing.OBSERVED),
    Clause("LOCK-3", "Once any vCPU of the VM has run, a write with an unsupported bit still gives EINVAL, not EBUSY.",
           SET, Standing.OBSERVED),
    Clause("LOCK-4", "Once any vCPU of the VM has run, each bitmap register still reads the value that was set before.",
           f"{API} 4.69; hypercalls.c:kvm_arm_get_fw_reg", Standing.OBSERVED),
    Clause("LOCK-5", "A refused write does not change what the guest sees.", f"{RFC}; {FW}; {SET}"),
    Clause("LOCK-6", "KVM_RUN with immediate_exit set locks the bitmap registers.",
           "arm.c:kvm_arch_vcpu_run_pid_change", Standing.OBSERVED),
)  # fmt: skip
