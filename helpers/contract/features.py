# SPDX-License-Identifier: GPL-2.0-only
"""The features of a kernel, as helpers/discovery/probe.py detects them."""

from __future__ import annotations

from dataclasses import dataclass, field

from helpers.contract.newer import LATEST_PSCI, Contradiction, unknown_services
from helpers.contract.registers import RFC_V3, Dialect, Register
from helpers.results.records import UnknownService
from helpers.smccc import SMCCC_1_1
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId


@dataclass(frozen=True)
class Probe:
    """A kernel's features.

    ``present`` are the bitmap registers that it has, with their unknown bits. ``listed`` are its bitmap ids.
    """

    dialect: Dialect
    present: tuple[Register, ...]
    listed: tuple[int, ...]
    capability: tuple[int, int]
    """KVM_CHECK_EXTENSION(207) on /dev/kvm and on a VM's fd."""
    arch_counter: bool
    """Whether the host's clock source is the architected counter, which KVM_PTP needs."""
    pv_time: bool
    """Whether the kernel has stolen time (KVM_CAP_STEAL_TIME, or KVM_HAS_DEVICE_ATTR of a vCPU's PVTIME_IPA)."""
    smc: bool
    """Whether KVM serves SMC like HVC. Detected by SMCCC_VERSION over SMC, or by the filter, which came with it."""
    smccc_filter: bool
    """Whether KVM_HAS_DEVICE_ATTR finds the SMCCC filter (KVM_ARM_VM_SMCCC_FILTER)."""
    release: str
    psci: int = LATEST_PSCI
    """PSCI_VERSION of a new VM."""
    smccc: int = SMCCC_1_1
    """The version that SMCCC_VERSION returns to a guest, if it is later than the tables' version."""
    firmware: tuple[RegisterId, ...] = ()
    """Listed firmware registers that are no bitmaps and that the tables lack."""
    contradictions: tuple[Contradiction, ...] = ()
    new_functions: frozenset[int] = field(default_factory=frozenset)
    """Function ids without a meaning in the tables that an unknown service enables."""

    late_vcpus: bool = True
    """Whether a vCPU can run that was created after the first KVM_RUN of its VM. Protected KVM refuses it."""

    @property
    def registers(self) -> tuple[Register, ...]:
        """The registers that this kernel must have: the dialect's, except for optional ones that the kernel lacks.

        Listed registers that the tables lack follow.
        """
        by_id = {r.id: r for r in self.present}
        tables = tuple(by_id.get(r.id, r) for r in self.dialect.registers if r.id in by_id or not r.optional)
        return (*tables, *self.unknown_registers)

    @property
    def unknown_registers(self) -> tuple[Register, ...]:
        """The bitmap registers that the tables lack."""
        ids = {r.id for r in self.dialect.registers}
        return tuple(r for r in self.present if r.id not in ids)

    @property
    def unknown(self) -> tuple[UnknownService, ...]:
        """Everything that this kernel has and the tables lack."""
        ids, names = (r.id for r in self.dialect.registers), (r.name for r in self.firmware)
        return unknown_services(self.registers, ids, names, self.psci, self.smccc)


def bitmap_name(dialect: Dialect, register_id: int) -> str:
    """The name of a bitmap register that the tables lack, such as BMAP_4."""
    return f"{'FW_REG' if dialect is RFC_V3 else 'BMAP'}_{register_id & 0xFFFF}"


def is_unknown_firmware(dialect: Dialect, register_id: int) -> bool:
    """Whether an id belongs to a firmware register that is no bitmap and that the tables lack."""
    sizeless = register_id & ~uapi.KVM_REG_SIZE_MASK | uapi.KVM_REG_SIZE_U64
    if dialect is RFC_V3 or sizeless & ~0xFFFF != uapi.fw_reg(0):
        return False
    return register_id != sizeless or register_id & 0xFFFF > 3


def is_bitmap_id(dialect: Dialect, register_id: int) -> bool:
    """Whether an id is in the dialect's range for bitmap registers. The tables may lack the register."""
    if dialect is RFC_V3:
        return register_id & ~0xFFFF == uapi.fw_reg(0) and register_id & 0xFFFF >= 3
    return register_id & ~0xFFFF == uapi.fw_feat_bmap_reg(0)
