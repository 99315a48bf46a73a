# SPDX-License-Identifier: GPL-2.0-only
"""The calls of user space and guests, and the compared numbers of their answers.

VMs are numbered in the order of their creation, vCPUs by KVM_CREATE_VCPU's argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from helpers.contract.calling_forms import Form
from helpers.smccc import U64
from helpers.uapi.notation import RegisterId


class Show(Enum):
    """How a compared number is written."""

    ERRNO = "errno"
    HEX = "hex"
    DECIMAL = "decimal"
    EXIT = "exit reason"


@dataclass(frozen=True)
class Want:
    """The expected value of one number of an answer. Only the bits of ``mask`` are compared."""

    name: str
    value: int
    show: Show = Show.HEX
    mask: int = U64
    clause: str = "MODEL-1"
    """The clause that is broken if the number differs."""

    def holds(self, actual: int | None) -> bool:
        """Whether ``actual`` (None: no answer) is the expected number."""
        return actual is not None and not (actual ^ self.value) & self.mask


class How(Enum):
    PLAIN = "a guest with no call to make"
    IMMEDIATE_EXIT = "immediate_exit = 1"
    ARGUMENT = "argument 1"


class Request(Enum):
    """An ioctl on a device attribute."""

    SET = "KVM_SET_DEVICE_ATTR"
    GET = "KVM_GET_DEVICE_ATTR"
    HAS = "KVM_HAS_DEVICE_ATTR"


@dataclass(frozen=True)
class OnVm:
    """A call on a VM's fd or on an fd of one of its vCPUs."""

    vm: int


@dataclass(frozen=True)
class CreateVm(OnVm):
    """KVM_CREATE_VM, and one memory slot with the guest's code."""


@dataclass(frozen=True)
class CreateVcpu(OnVm):
    """KVM_CREATE_VCPU. The id may already exist."""

    id: int


@dataclass(frozen=True)
class SetFilter(OnVm):
    """KVM_ARM_VM_SMCCC_FILTER."""

    base: int
    count: int
    action: int


@dataclass(frozen=True)
class CheckExtension(OnVm):
    """KVM_CHECK_EXTENSION(207) on the VM's fd."""


@dataclass(frozen=True)
class EnableCap(OnVm):
    """KVM_ENABLE_CAP(207)."""


@dataclass(frozen=True)
class CloseVm(OnVm):
    """close(2) of a VM's and its vCPUs' fds."""


@dataclass(frozen=True)
class OnVcpu(OnVm):
    """A call on a vCPU's fd, or by its guest."""

    vcpu: int


@dataclass(frozen=True)
class Init(OnVcpu):
    """KVM_ARM_VCPU_INIT with these features (bit numbers); the PC is set to the guest's entry.

    With KVM_ARM_VCPU_PMU_V3 the PMU is initialised, with KVM_ARM_VCPU_SVE the vCPU is finalised.
    """

    features: tuple[int, ...]


@dataclass(frozen=True)
class GetReg(OnVcpu):
    register: RegisterId


@dataclass(frozen=True)
class SetReg(OnVcpu):
    register: RegisterId
    value: int


@dataclass(frozen=True)
class ListRegs(OnVcpu):
    """KVM_GET_REG_LIST."""


@dataclass(frozen=True)
class Run(OnVcpu):
    how: How


@dataclass(frozen=True)
class GuestCall(OnVcpu):
    """KVM_RUN of a guest that makes one SMCCC call; ``name`` is a key of guest_calls.CALLEES."""

    name: str
    form: Form


@dataclass(frozen=True)
class ForwardedCall(OnVcpu):
    """KVM_RUN of a guest whose call exits with KVM_EXIT_HYPERCALL. The guest continues at ``ResumeGuest``."""

    name: str
    form: Form


@dataclass(frozen=True)
class ResumeGuest(OnVcpu):
    """KVM_RUN after a ``ForwardedCall``. The guest runs to its end."""


@dataclass(frozen=True)
class Effect:
    """The effects of an event of suites/events on the state that the contract allows."""

    runs: bool = False
    """Whether it counts as a run."""
    restarts: bool = False
    """Whether guests cannot continue after it until ``Restart``."""
    psci: int | None = None
    """The PSCI_VERSION of a VM with PSCI_0_2 after it."""
    guest: bool = False
    """Whether a guest makes calls."""
    blocks: bool = False
    """Whether KVM_RUN returns only for a signal."""
    enables: bool = False
    """Whether it may enable KVM_CAP_ARM_SYSTEM_SUSPEND, which adds SYSTEM_SUSPEND to PSCI."""


@dataclass(frozen=True)
class Disturb(OnVcpu):
    """An event of suites/events, by its name there. Its answers are not compared.

    The model fills in the rest: the id of ``other``, another initialised vCPU or the same one, the VM's features, and
    the registers' values by name.
    """

    event: str
    actor: str
    effect: Effect
    other: int = 0
    features: tuple[int, ...] = ()
    values: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Restart(OnVm):
    """KVM_ARM_VCPU_INIT of each initialised vCPU, after an event after which guests cannot continue.

    The model fills in ``completes``: whether a guest may have exited at a store, which KVM_RUN must complete first.
    """

    completes: bool = False


@dataclass(frozen=True)
class PvTime(OnVcpu):
    """A vCPU's KVM_ARM_VCPU_PVTIME_IPA; SET writes ``ipa``."""

    request: Request
    ipa: int = 0


@dataclass(frozen=True)
class Step:
    """A call and its expected answer. ``wants`` is empty if only later calls show the effect."""

    operation: OnVm
    wants: tuple[Want, ...]


StepAnswer = tuple[int | None, ...]
"""The numbers of one answer, in the order of the step's wants; None for a number without an answer."""


def first_difference(steps: tuple[Step, ...], answers: tuple[StepAnswer, ...]) -> int | None:
    """The index of the first call with an unexpected answer."""
    for at, (step, answer) in enumerate(zip(steps, answers, strict=True)):
        if not all(want.holds(got) for want, got in zip(step.wants, answer, strict=True)):
            return at
    return None


def moved(operation: OnVm, first: int) -> OnVm:
    """The call on the VM whose number is ``first`` larger."""
    return replace(operation, vm=operation.vm + first)
