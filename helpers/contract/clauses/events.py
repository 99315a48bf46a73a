# SPDX-License-Identifier: GPL-2.0-only
"""Events that must not change what the other chapters check."""

from __future__ import annotations

from helpers.contract.clauses.base import API, CALL, FW, SET, Clause, Standing

CLAUSES = (
    Clause("EVENT-1", "Only KVM_SET_ONE_REG changes a bitmap register. No other ioctl of user space and no call of a"
           " guest changes one, in any VM.", f"{FW}; {SET}"),
    Clause("EVENT-2", "Only KVM_RUN locks the bitmap registers, and nothing unlocks them. No other event changes which"
           " writes are accepted.", f"{FW}; arm.c:kvm_arch_vcpu_run_pid_change"),
    Clause("EVENT-3", "PSCI_VERSION, the stolen-time address, the SMCCC filter and KVM_GET_REG_LIST change only"
           " through their own ioctls.", f"{API} 4.68, 4.69, 4.84; hypercalls.c:kvm_arm_set_fw_reg", Standing.OBSERVED),
    Clause("EVENT-4", "After any event, the answers that each vCPU's guest gets by HVC and SMC are those that the"
           " registers and the filter define.", f"{FW}; {CALL}"),
)  # fmt: skip
