# SPDX-License-Identifier: GPL-2.0-only
"""What a run fixes."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("LOCK-1", "Once any vCPU has run, a write that changes a register is refused with EBUSY.", f"{RFC}; {FW}"),
    Clause("LOCK-2", "Once any vCPU has run, writing the value that is there succeeds.", f"{SET} (528ada2811ba)",
           Standing.OBSERVED),
    Clause("LOCK-3", "Once any vCPU has run, an unsupported bit is still refused with EINVAL.", SET,
           Standing.OBSERVED),
    Clause("LOCK-4", "Once any vCPU has run, reads still answer what was set.", f"{API} 4.69", Standing.OBSERVED),
    Clause("LOCK-5", "A refused write does not change what the guest sees.", f"{RFC}; {FW}"),
    Clause("LOCK-6", "KVM_RUN with immediate_exit counts as a run.", "arm.c:kvm_arch_vcpu_run_pid_change",
           Standing.OBSERVED),
)  # fmt: skip
