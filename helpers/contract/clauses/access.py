# SPDX-License-Identifier: GPL-2.0-only
"""Errors of the ioctls themselves, and the order of their checks."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, Clause, Standing

_ARCH = "arm.c:kvm_arch_vcpu_ioctl"
_GUEST = "guest.c:kvm_arm_get_reg, kvm_arm_set_reg"
_FW_REG = "hypercalls.c:kvm_arm_get_fw_reg, kvm_arm_set_fw_reg"

CLAUSES = (
    Clause("ACCESS-1", "ONE_REG on the fd of a VM or of /dev/kvm is refused with EINVAL, but GET on a VM's with ENODEV:"
           " there its number is KVM_ARM_SET_DEVICE_ADDR's.", f"{API} 4.68, 4.69: a vCPU ioctl; 4.85"),
    Clause("ACCESS-2", "ONE_REG on a vCPU that is not initialised gives ENOEXEC, before its argument is read.",
           _ARCH, Standing.OBSERVED),
    Clause("ACCESS-3", "A struct kvm_one_reg that cannot be read gives EFAULT, whatever it would have said.",
           _ARCH, Standing.OBSERVED),
    Clause("ACCESS-4", "An id whose upper half is not arm64's gives EINVAL.", f"{API} 4.68; {_GUEST}"),
    Clause("ACCESS-5", "An id of another size than u64 gives ENOENT, before the value is read or written.", _FW_REG,
           Standing.OBSERVED),
    Clause("ACCESS-6", "An unknown index, or a stray bit beside a known one, gives ENOENT: a read looks at the id"
           " before the pointer, a write at the pointer before the id.", f"{FW}: return codes; {_FW_REG}"),
    Clause("ACCESS-7", "A pointer to the value that cannot be read, or for GET be written, gives EFAULT.", _FW_REG,
           Standing.OBSERVED),
    Clause("ACCESS-8", "An unsupported bit gives EINVAL and a change after KVM_RUN EBUSY only where nothing else is"
           " wrong, the unsupported bit first.", "hypercalls.c:kvm_arm_set_fw_reg_bmap", Standing.OBSERVED),
    Clause("ACCESS-9", "A failed access changes no register and writes no memory of the caller.", _FW_REG,
           Standing.OBSERVED),
    Clause("ACCESS-10", "A read writes the register's eight bytes where its pointer says, and no other memory of the"
           " caller.", f"{API} 4.69; {_FW_REG}"),
    Clause("LIST-1", "KVM_GET_REG_LIST names each register once, and a bitmap register can be read exactly if it is"
           " listed.", f"{API} 4.84"),
    Clause("LIST-2", "KVM_GET_REG_LIST without room for all gives E2BIG with their number in n, and nothing else.",
           f"{API} 4.84"),
    Clause("LIST-3", "KVM_GET_REG_LIST gives EFAULT where it cannot read and write n, or write the list.", _ARCH,
           Standing.OBSERVED),
    Clause("LIST-4", "KVM_GET_REG_LIST gives EINVAL on another fd than a vCPU's, and ENOEXEC on a vCPU that is"
           " not initialised, before it reads n.", _ARCH, Standing.OBSERVED),
    Clause("ENABLE-1", "KVM_ENABLE_CAP(207) is refused with EINVAL: the capability is only to be read.", RFC),
)  # fmt: skip
