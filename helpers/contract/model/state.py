# SPDX-License-Identifier: GPL-2.0-only
"""The state of the model's VMs, and the facts about the kernel that the answers depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

from helpers.contract.model import operations as op
from helpers.contract.registers import Dialect, Register
from helpers.guest_layout import MEMORY_IPA, MEMORY_SIZE
from helpers.smccc import SMCCC_1_1
from helpers.uapi import kvm as uapi

MEMORY = range(MEMORY_IPA, MEMORY_IPA + MEMORY_SIZE)
"""The guest's memory (IPA)."""
STALE = 0xA5A5_A5A5_A5A5_A5A5
"""The contents of the caller's memory before a read."""
MOST_VMS, MOST_VCPUS = 3, 4
"""The most VMs that exist at the same time, and the most vCPUs of a VM."""


@dataclass(frozen=True)
class Host:
    """The facts about the kernel. ``psci_version`` is the PSCI_VERSION of a new VM with PSCI_0_2.

    ``levels`` are the names of the existing workaround registers, with their values.
    """

    dialect: Dialect
    registers: tuple[Register, ...]
    psci_version: int
    levels: tuple[tuple[str, int], ...]
    arch_counter: bool
    pv_time: bool
    smc: bool
    smccc_filter: bool
    smccc: int = SMCCC_1_1
    new_functions: frozenset[int] = frozenset()
    """Functions that an unknown service enables. Their answers are not defined."""
    features: tuple[tuple[int, ...], ...] = ((uapi.KVM_ARM_VCPU_PSCI_0_2,), ())
    """The sets of features that a vCPU can be initialised with."""
    vcpu_ids: tuple[int, ...] = (0, 1, 2, 3, 5, 6)
    """The ids for KVM_CREATE_VCPU. An event of suites/events creates vCPU 7."""
    late_vcpus: bool = True
    """Whether a vCPU can run that was created after the first KVM_RUN of its VM."""


@dataclass
class ModelVcpu:
    """``forwarded`` is the forwarded call after which the guest has not continued yet, if any."""

    initialised: bool = False
    ipa: int | None = None
    forwarded: op.ForwardedCall | None = None


@dataclass
class ModelVm:
    """A VM. ``vcpus`` are in the order of their creation, ``written`` are the registers that user space has set."""

    values: dict[str, int]
    psci: int
    features: tuple[int, ...] | None = None
    ran: bool = False
    vcpus: dict[int, ModelVcpu] = field(default_factory=dict)
    filters: list[tuple[int, int, int]] = field(default_factory=list)
    """(first function, last function, action)"""
    written: set[str] = field(default_factory=set)
    moved: op.Effect | None = None
    """The event after which guests cannot continue."""
    may_suspend: bool = False
    """Whether an event may have enabled KVM_CAP_ARM_SYSTEM_SUSPEND."""

    @property
    def has_psci(self) -> bool:
        """Whether its vCPUs have KVM_ARM_VCPU_PSCI_0_2."""
        return uapi.KVM_ARM_VCPU_PSCI_0_2 in (self.features or ())

    @property
    def has_guest(self) -> bool:
        """Whether its vCPUs can run the suite's guest, which is AArch64 code."""
        return uapi.KVM_ARM_VCPU_EL1_32BIT not in (self.features or ())
