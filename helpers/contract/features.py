# SPDX-License-Identifier: GPL-2.0-only
"""The features of a kernel, as helpers/discovery/probe.py detects them."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.contract.registers import RFC_V3, Dialect, Register
from helpers.uapi import kvm as uapi


@dataclass(frozen=True)
class Probe:
    """A kernel's features. ``present`` are the dialect's registers that it has, ``listed`` its bitmap ids."""

    dialect: Dialect
    present: tuple[Register, ...]
    listed: tuple[int, ...]
    capability: tuple[int, int]
    """KVM_CHECK_EXTENSION(207) on /dev/kvm and on a VM's fd."""
    arch_counter: bool
    """Whether the host's clock source is the architected counter, without which there is no PTP."""
    pv_time: bool
    """Whether the kernel has stolen time (KVM_CAP_STEAL_TIME, or KVM_HAS_DEVICE_ATTR of a vCPU's PVTIME_IPA)."""
    smc: bool
    """Whether KVM serves SMC like HVC (SMC answers SMCCC_VERSION, or the kernel has the filter, which came with it)."""
    smccc_filter: bool
    """Whether a VM takes an SMCCC filter (KVM_ARM_VM_SMCCC_FILTER, by KVM_HAS_DEVICE_ATTR)."""
    release: str

    @property
    def registers(self) -> tuple[Register, ...]:
        """The registers that this kernel must have: the dialect's without the optional ones that it lacks."""
        return tuple(r for r in self.dialect.registers if not r.optional or r in self.present)


def is_bitmap_id(dialect: Dialect, register_id: int) -> bool:
    """Whether an id belongs to the dialect's range of bitmap registers, known ones or not."""
    if dialect is RFC_V3:
        return register_id & ~0xFFFF == uapi.fw_reg(0) and register_id & 0xFFFF >= 3
    return register_id & ~0xFFFF == uapi.fw_feat_bmap_reg(0)
