# SPDX-License-Identifier: GPL-2.0-only
"""Benign variants: the behaviour of other correct kernels and hosts. The suite must not report them as failures.

Their ids are the module's names (variants.h).
"""

from __future__ import annotations

from dataclasses import dataclass

from helpers.results.verdict import VerdictKind


@dataclass(frozen=True)
class BenignVariant:
    """One variant.

    ``hooks``: the functions of KVM that it needs. ``touches``: paths below suites/ whose tests all run under it. One
    case of every other test function runs. ``verdict``: the correct verdict. ``qemu``: QEMU's arguments for the host.
    """

    id: str
    what: str
    hooks: tuple[str, ...]
    touches: tuple[str, ...]
    verdict: VerdictKind = VerdictKind.CONFORMANT
    qemu: str = ""


def _variant(
    name: str, hooks: str, touches: str, what: str, verdict: VerdictKind = VerdictKind.CONFORMANT, *, qemu: str = ""
) -> BenignVariant:
    return BenignVariant(name, what, tuple(hooks.split()), tuple(touches.split()), verdict, qemu)


def _newer(name: str, hooks: str, what: str) -> BenignVariant:
    """A kernel with a bit, register or version that the suite's tables lack."""
    touches = "capability defaults limits lock neighbours migration model hypercalls/test_arguments.py"
    return _variant(name, hooks, touches, what, VerdictKind.NEWER)


_INIT = "kvm_vm_ioctl_check_extension kvm_arch_vcpu_ioctl"
_BITMAPS = (
    "kvm_arm_init_hypercalls kvm_arm_get_fw_reg kvm_arm_set_fw_reg kvm_arm_copy_fw_reg_indices kvm_arm_get_fw_num_regs"
    " kvm_smccc_call_handler"
)
_PV_TIME = "hypercalls/test_pv_time.py hypercalls/test_pv_time_memory.py hypercalls/test_stolen_time.py"

VARIANTS = (
    _variant(
        "preferred-target-by-core", "kvm_arch_vm_ioctl kvm_arch_vcpu_ioctl", "run",
        "KVM_ARM_PREFERRED_TARGET depends on the core, and another core's target is refused: before Linux 6.6",
        qemu="-smp 2",
    ),
    _variant(
        "ccsidr-refused", "kvm_arm_set_reg", "migration",
        "KVM_SET_ONE_REG of a cache size (CCSIDR) gives EINVAL: another kind of core, before Linux 6.3",
    ),
    _variant(
        "ipa-36-bits", "kvm_vm_ioctl_check_extension kvm_arch_init_vm",
        "concurrency hypercalls/test_pv_time.py hypercalls/test_pv_time_memory.py model",
        "KVM_CREATE_VM gives EINVAL for type 0 and for more than 36 bits: the IPA limit of Apple's M1 and M2",
    ),
    _variant(
        "no-gicv3-device", "kvm_vm_ioctl kvm_vm_ioctl_check_extension", "run/test_vgic.py neighbours",
        "KVM_CREATE_DEVICE of a GICv3 gives ENODEV, and a VM has 8 vCPUs at most: the host has a GICv2",
    ),
    _variant(
        "no-slot-flags", "kvm_vm_ioctl", "hypercalls/test_pv_time_memory.py",
        "KVM_SET_USER_MEMORY_REGION gives EPERM for a slot that is read-only or logged as dirty: pKVM",
    ),
    _variant("no-pmu", _INIT, "run", "KVM_CAP_ARM_PMU_V3 reads 0, and a vCPU with a PMU is refused"),
    _variant("no-sve", _INIT, "run", "KVM_CAP_ARM_SVE reads 0, and a vCPU with SVE is refused"),
    _variant(
        "no-stolen-time", "kvm_vm_ioctl_check_extension kvm_arm_pvtime_has_attr", _PV_TIME,
        "KVM_CAP_STEAL_TIME reads 0, and a vCPU has no attribute PVTIME_IPA: a kernel without CONFIG_SCHED_INFO",
    ),
    _variant(
        "other-clocksource", "kvm_smccc_call_handler", "hypercalls/test_services.py hypercalls/test_arguments.py",
        "the clock source is not the architected counter, so KVM_PTP is not supported",
    ),
    _variant(
        "300-more-registers", "kvm_arm_get_fw_num_regs kvm_arm_copy_fw_reg_indices", "access",
        "KVM_GET_REG_LIST has 300 more registers",
    ),
    _variant(
        "spurious-eintr", "kvm_arch_vcpu_ioctl_run", "run lock concurrency model",
        "every third KVM_RUN gives EINTR although no signal is pending, the first one of a VM too",
    ),
    _variant(
        "slow-ioctls", "kvm_dev_ioctl kvm_vm_ioctl kvm_vcpu_ioctl", "hypercalls/test_stolen_time.py",
        "every ioctl takes 5 ms longer",
    ),
    _variant(
        "warn-elsewhere", "kvm_dev_ioctl", "quiet lock left_behind/test_refused_calls.py",
        "a driver other than KVM warns while a test runs",
    ),
    _newer("newer-bit", _BITMAPS, "VENDOR_HYP has bit 2, also in its reset value, which opens 0x86000002"),
    _newer("newer-register-empty", _BITMAPS, "a register of index 4 with two bits and reset value 0"),
    _newer("newer-register-full", _BITMAPS, "a register of index 4 with two bits, which are its reset value"),
    _newer("newer-owner", _BITMAPS, "a register of index 5 with two bits, the first of which opens a call of owner 7"),
    _newer("newer-firmware", _BITMAPS, "a firmware register of index 9 that is no bitmap"),
    _newer("newer-psci", "kvm_arm_get_fw_reg kvm_arm_set_fw_reg kvm_smccc_call_handler", "PSCI 1.4"),
    _newer("newer-smccc", "kvm_smccc_call_handler", "SMCCC_VERSION gives 1.6"),
)  # fmt: skip
