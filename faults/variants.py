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


def _variant(name: str, hooks: str, touches: str, what: str) -> BenignVariant:
    return BenignVariant(name, what, tuple(hooks.split()), tuple(touches.split()))


_INIT = "kvm_vm_ioctl_check_extension kvm_arch_vcpu_ioctl"

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
)  # fmt: skip
