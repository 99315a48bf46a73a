# SPDX-License-Identifier: GPL-2.0-only
"""Benign variants, the counterpart of faults: other correct kernels and hosts, whose verdict a plant must not change.

Their ids are the module's names (variants.h).
"""

from __future__ import annotations

from dataclasses import dataclass

from helpers.results.verdict import VerdictKind


@dataclass(frozen=True)
class BenignVariant:
    """One variant.

    ``hooks``: the functions of KVM that it needs. ``touches``: paths below suites/ whose tests all run under it; of
    every other test function one case runs. ``verdict``: the correct verdict.
    """

    id: str
    what: str
    hooks: tuple[str, ...]
    touches: tuple[str, ...]
    verdict: VerdictKind = VerdictKind.CONFORMANT


def _variant(
    name: str, hooks: str, touches: str, what: str, verdict: VerdictKind = VerdictKind.CONFORMANT
) -> BenignVariant:
    return BenignVariant(name, what, tuple(hooks.split()), tuple(touches.split()), verdict)


def _newer(name: str, hooks: str, what: str) -> BenignVariant:
    """A kernel that has what the tables lack."""
    touches = "capability defaults limits lock neighbours migration model hypercalls/test_arguments.py"
    return _variant(name, hooks, touches, what, VerdictKind.NEWER)


_INIT = "kvm_vm_ioctl_check_extension kvm_arch_vcpu_ioctl"
_BITMAPS = (
    "kvm_arm_init_hypercalls kvm_arm_get_fw_reg kvm_arm_set_fw_reg kvm_arm_copy_fw_reg_indices kvm_arm_get_fw_num_regs"
    " kvm_smccc_call_handler"
)

VARIANTS = (
    _variant(
        "ccsidr-refused", "kvm_arm_set_reg", "migration",
        "KVM_SET_ONE_REG of a cache size (CCSIDR) gives EINVAL: another kind of core, before Linux 6.3",
    ),
    _variant(
        "no-gicv3-device", "kvm_vm_ioctl", "run/test_vgic.py neighbours",
        "KVM_CREATE_DEVICE of a GICv3 gives ENODEV: the host has a GICv2",
    ),
    _variant("no-pmu", _INIT, "run access", "KVM_CAP_ARM_PMU_V3 reads 0, and a vCPU with a PMU is refused"),
    _variant("no-sve", _INIT, "run access", "KVM_CAP_ARM_SVE reads 0, and a vCPU with SVE is refused"),
    _newer("newer-bit", _BITMAPS, "VENDOR_HYP has bit 2, also in its reset value, which opens 0x86000002"),
    _newer("newer-register-empty", _BITMAPS, "a register of index 4 with two bits and reset value 0"),
    _newer("newer-register-full", _BITMAPS, "a register of index 4 with two bits, which are its reset value"),
    _newer("newer-owner", _BITMAPS, "a register of index 5 with two bits, the first of which opens a call of owner 7"),
    _newer("newer-firmware", _BITMAPS, "a firmware register of index 9 that is no bitmap"),
    _newer("newer-psci", "kvm_arm_get_fw_reg kvm_arm_set_fw_reg kvm_smccc_call_handler", "PSCI 1.4"),
    _newer("newer-smccc", "kvm_smccc_call_handler", "SMCCC_VERSION gives 1.6"),
)  # fmt: skip
