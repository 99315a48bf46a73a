# SPDX-License-Identifier: GPL-2.0-only
"""Errors of the ioctls themselves, and the order of their checks."""

from __future__ import annotations

from helpers.contract.clauses.base import API, FW, RFC, SET, Clause, Standing

_ARCH = "arm.c:kvm_arch_vcpu_ioctl"
_GUEST = "guest.c:kvm_arm_get_reg, kvm_arm_set_reg"
_FW_REG = "hypercalls.c:kvm_arm_get_fw_reg, kvm_arm_set_fw_reg"

CLAUSES = (
    Clause("ACCESS-1", "KVM_GET_ONE_REG and KVM_SET_ONE_REG fail with EINVAL on /dev/kvm and on a VM fd, except that"
           " KVM_GET_ONE_REG on a VM fd fails with ENODEV: its number is KVM_ARM_SET_DEVICE_ADDR's.",
           f"{API} 4.68, 4.69 (vCPU ioctls), 4.85; kvm_main.c:kvm_dev_ioctl; arm.c:kvm_arch_vm_ioctl",
           Standing.OBSERVED),
    Clause("ACCESS-2", "KVM_GET_ONE_REG and KVM_SET_ONE_REG on a vCPU that is not initialised fail with ENOEXEC, before"
           " struct kvm_one_reg is read.", _ARCH, Standing.OBSERVED),
    Clause("ACCESS-3", "KVM_GET_ONE_REG and KVM_SET_ONE_REG fail with EFAULT if struct kvm_one_reg cannot be read.",
           _ARCH, Standing.OBSERVED),
    Clause("ACCESS-4", "A register id whose bits 63:32, apart from the size, are not those of arm64 (0x6000...) gives"
           " EINVAL.", f"{API} 4.68; {_GUEST}"),
    Clause("ACCESS-5", "The id of a bitmap register with another size than U64 gives ENOENT, before the value is read"
           " or written.", _FW_REG, Standing.OBSERVED),
    Clause("ACCESS-6", "A register id with an unknown index, or with one of bits 31:28 set, gives ENOENT."
           " KVM_GET_ONE_REG checks the id before the pointer to the value, KVM_SET_ONE_REG the pointer before the id.",
           f"{FW}: return codes; {_FW_REG}"),
    Clause("ACCESS-7", "KVM_GET_ONE_REG fails with EFAULT if the value cannot be written to the caller's memory,"
           " KVM_SET_ONE_REG if it cannot be read from there.", _FW_REG, Standing.OBSERVED),
    Clause("ACCESS-8", "KVM_SET_ONE_REG checks the bitmap last: an unsupported bit gives EINVAL, and then a changed"
           " value after KVM_RUN gives EBUSY.", SET, Standing.OBSERVED),
    Clause("ACCESS-9", "A KVM_GET_ONE_REG or KVM_SET_ONE_REG that fails changes no register and no memory of the"
           " caller.", _FW_REG, Standing.OBSERVED),
    Clause("ACCESS-10", "KVM_GET_ONE_REG writes the eight bytes of a bitmap register to the address in"
           " kvm_one_reg.addr, and no other memory of the caller.", f"{API} 4.69; {_FW_REG}"),
    Clause("LIST-1", "KVM_GET_REG_LIST lists each register once, and KVM_GET_ONE_REG can read a bitmap register if and"
           " only if it is listed.", f"{API} 4.84; {_ARCH}"),
    Clause("LIST-2", "KVM_GET_REG_LIST with too small an n fails with E2BIG and writes the required number to n, and"
           " nothing else.", f"{API} 4.84; {_ARCH}"),
    Clause("LIST-3", "KVM_GET_REG_LIST fails with EFAULT if it cannot read and write n, or cannot write the list.",
           _ARCH, Standing.OBSERVED),
    Clause("LIST-4", "KVM_GET_REG_LIST fails with EINVAL on /dev/kvm and on a VM fd, and with ENOEXEC on a vCPU that is"
           " not initialised, before it reads n.", _ARCH, Standing.OBSERVED),
    Clause("ENABLE-1", "KVM_ENABLE_CAP(KVM_CAP_ARM_HVC_FW_REG_BMAP) fails with EINVAL: the capability can only be"
           " read.",
           f"{RFC}; arm.c:kvm_vm_ioctl_enable_cap", Standing.OBSERVED),
)  # fmt: skip
