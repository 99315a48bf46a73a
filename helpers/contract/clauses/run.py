# SPDX-License-Identifier: GPL-2.0-only
"""Which ways of leaving KVM_RUN lock the bitmap registers, and for which vCPUs."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, Clause, Standing

_RUN = "arm.c:kvm_arch_vcpu_run_pid_change"
_INIT = "arm.c:kvm_arch_vcpu_ioctl_vcpu_init"

CLAUSES = (
    Clause("RUN-1", "KVM_RUN with a non-zero argument fails with EINVAL and does not lock the bitmap registers.",
           "kvm_main.c:kvm_vcpu_ioctl", Standing.OBSERVED),
    Clause("RUN-2", "KVM_RUN of a vCPU that is not initialised (ENOEXEC) or not finalised (EPERM) does not lock the"
           " bitmap registers. (With the RFC's interface this depends on the kernel below it.)", f"{_RUN}; {RFC}",
           Standing.OBSERVED),
    Clause("RUN-3", "KVM_RUN of a vCPU whose PMU is not initialised fails with EINVAL, does not lock the bitmap"
           " registers, and succeeds once the PMU is initialised.", _RUN, Standing.OBSERVED),
    Clause("RUN-4", "KVM_RUN locks the bitmap registers even if it returns before the first guest instruction: with"
           " immediate_exit, with a pending signal, or on a vCPU that is powered off.", _RUN, Standing.OBSERVED),
    Clause("RUN-5", "KVM_RUN locks the bitmap registers even if it then fails with EFAULT because the guest's memory"
           " cannot be accessed.", _RUN, Standing.OBSERVED),
    Clause("RUN-6", "KVM_RUN of any vCPU locks the bitmap registers for every vCPU of the VM, and for no other VM.",
           f"{RFC}; {FW}; {_RUN}"),
    Clause("RUN-7", "A vCPU that is created or initialised later reads the VM's bitmap registers, and finds them locked"
           " if the VM has run.", f"{FW}: VM-wide; {_RUN}"),
    Clause("RUN-8", "Initialising a vCPU again, and the pending reset of a vCPU after PSCI CPU_ON, change no bitmap"
           " register and unlock none.", f"{_INIT}; reset.c:kvm_reset_vcpu", Standing.OBSERVED),
    Clause("RUN-9", "If the in-kernel vGIC cannot be mapped at the first KVM_RUN, every later KVM_GET_ONE_REG and"
           " KVM_SET_ONE_REG of the VM fails with EIO, before any other check.",
           "vgic-init.c:kvm_vgic_map_resources; kvm_main.c:kvm_vcpu_ioctl", Standing.OBSERVED),
    Clause("RUN-10", "KVM_CREATE_VCPU fails with EBUSY once the in-kernel vGIC is initialised.",
           "arm.c:kvm_arch_vcpu_precreate", Standing.OBSERVED),
    Clause("LIST-5", "KVM_GET_REG_LIST of a vCPU that is not finalised fails with EPERM, before it reads n.",
           f"{API} 4.82 (SVE); arm.c:kvm_arch_vcpu_ioctl"),
)  # fmt: skip
