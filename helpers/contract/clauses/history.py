# SPDX-License-Identifier: GPL-2.0-only
"""Answers that must not depend on earlier calls."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, SET, Clause, Standing

CLAUSES = (
    Clause("HISTORY-1", "The answer to a read or a write of a bitmap register depends on the register's value, the"
           " supported bits and the lock. It does not depend on the number or the kind of earlier calls.",
           f"{FW}; {SET}", Standing.OBSERVED),
    Clause("HISTORY-2", "A new VM has reset values, no lock, no filter and no stolen-time address, whatever VMs were"
           " closed before.", f"{FW}; {API} 4.2; arm.c:kvm_arch_init_vm"),
)  # fmt: skip
