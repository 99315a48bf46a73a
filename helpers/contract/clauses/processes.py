# SPDX-License-Identifier: GPL-2.0-only
"""A VM's fds in another process."""

from __future__ import annotations

from helpers.contract.clauses.base import API, Clause, Standing

_LIFE = f"{API} 2"

CLAUSES = (
    Clause("PROCESS-1", "An ioctl on a VM or a vCPU gives EIO in any process but the one that created the VM, and"
           " changes nothing.", f"{_LIFE}; kvm_main.c:kvm_vm_ioctl, kvm_vcpu_ioctl", Standing.OBSERVED),
    Clause("PROCESS-2", "A VM lives until its last fd is closed. A process that closes its copies, or ends, changes"
           " nothing in it.", _LIFE),
    Clause("PROCESS-3", "A process that inherits an fd of /dev/kvm creates VMs of its own: with reset values, a lock of"
           " their own, and no effect on the other process's VMs.", _LIFE),
)  # fmt: skip
