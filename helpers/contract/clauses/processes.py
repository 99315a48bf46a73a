# SPDX-License-Identifier: GPL-2.0-only
"""A VM's fds in another process."""

from __future__ import annotations

from helpers.contract.clauses.base import API, Clause, Standing

_LIFE = f"{API} 2"

CLAUSES = (
    Clause("PROCESS-1", "An ioctl on a VM fd or a vCPU fd fails with EIO in every process other than the one that"
           " created the VM, and changes nothing.", f"{_LIFE}; kvm_main.c:kvm_vm_ioctl, kvm_vcpu_ioctl",
           Standing.OBSERVED),
    Clause("PROCESS-2", "A VM exists until its last fd is closed. A process that closes its copies of the fds, or"
           " ends, changes nothing in the VM.", f"{_LIFE}; kvm_main.c:kvm_vm_release, kvm_vcpu_release"),
    Clause("PROCESS-3", "A process that inherits a /dev/kvm fd creates its own VMs: with reset values, their own lock,"
           " and no effect on the VMs of the other process.", f"{_LIFE}; kvm_main.c:kvm_dev_ioctl_create_vm"),
)  # fmt: skip
