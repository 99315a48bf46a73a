# SPDX-License-Identifier: GPL-2.0-only
"""What counts as a run, and for whom."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, Clause, Standing

_RUN = "arm.c:kvm_arch_vcpu_run_pid_change"
_INIT = "arm.c:kvm_arch_vcpu_ioctl_vcpu_init"

CLAUSES = (
    Clause("RUN-1", "KVM_RUN with an argument (EINVAL) is no run: the registers stay writable.",
           "kvm_main.c:kvm_vcpu_ioctl", Standing.OBSERVED),
    Clause("RUN-2", "KVM_RUN of a vCPU that is not initialised (ENOEXEC) or not finalised (EPERM) is no run. (The RFC"
           " leaves it to the kernel that it is applied to.)", f"{_RUN}; {RFC}", Standing.OBSERVED),
    Clause("RUN-3", "KVM_RUN of a vCPU whose PMU is not initialised (EINVAL) is no run, and may be tried again.", _RUN,
           Standing.OBSERVED),
    Clause("RUN-4", "KVM_RUN that leaves before the first guest instruction, for immediate_exit, a pending signal or a"
           " vCPU that is powered off, is a run.", _RUN, Standing.OBSERVED),
    Clause("RUN-5", "KVM_RUN that fails later than that (EFAULT) is a run.", _RUN, Standing.OBSERVED),
    Clause("RUN-6", "A run of any vCPU fixes the registers through every vCPU of the VM, and of no other VM.",
           f"{RFC}; {FW}"),
    Clause("RUN-7", "A vCPU that is made or initialised later shows the VM's values, and finds them fixed if the VM has"
           " run.", f"{FW}: VM-wide"),
    Clause("RUN-8", "Initialising a vCPU again, or the reset that PSCI's CPU_ON owes it, changes no register and frees"
           " none that a run has fixed.", _INIT,
           Standing.OBSERVED),
    Clause("RUN-9", "A VM whose in-kernel vGIC cannot be mapped at the first run is dead: ONE_REG gives EIO, whatever"
           " else is wrong.", "vgic-init.c:kvm_vgic_map_resources; kvm_main.c:kvm_vcpu_ioctl", Standing.OBSERVED),
    Clause("RUN-10", "KVM_CREATE_VCPU gives EBUSY once the in-kernel vGIC is initialised.",
           "arm.c:kvm_arch_vcpu_precreate", Standing.OBSERVED),
    Clause("LIST-5", "KVM_GET_REG_LIST of a vCPU that is not finalised gives EPERM, before it reads n.",
           f"{API} 4.84; arm.c:kvm_arch_vcpu_ioctl"),
)  # fmt: skip
