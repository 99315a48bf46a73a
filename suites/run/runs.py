# SPDX-License-Identifier: GPL-2.0-only
"""The ways in which KVM_RUN can return early, and whether each one locks the registers."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass

from helpers.batch import Batch
from helpers.contract.registers import RFC_V3, Dialect
from helpers.guest_layout import MEMORY_SIZE
from helpers.kvm import PSCI_0_2, Vcpu
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls

_SIGUSR1 = 10
_POWERED_OFF_MS = 300
"""Time after which a signal interrupts KVM_RUN of a powered-off vCPU."""


@dataclass(frozen=True)
class RunCase:
    """One way in which KVM_RUN returns. ``make`` runs a vCPU this way and returns the errno, which must be ``error``.

    ``locks``: whether it locks the registers. ``rfc_locks``: the same with the RFC's patches; None if it depends on the
    kernel to which they are applied, whose checks come before the patches mark the VM as started.
    """

    name: str
    make: Callable[[Vcpu], int]
    error: int
    locks: bool
    rfc_locks: bool | None
    features: tuple[int, ...] = PSCI_0_2
    capability: tuple[str, int] | None = None
    """A capability that must not be 0: its name and number."""

    def fixes(self, dialect: Dialect) -> bool | None:
        """Whether it locks the registers in ``dialect``; None if both are correct."""
        return self.rfc_locks if dialect is RFC_V3 else self.locks


def _run(batch: Batch, vcpu: Vcpu, argument: int = 0) -> int:
    done = batch.run_vcpu(vcpu, argument)
    batch.run()
    return done.errno


def _with_argument(vcpu: Vcpu) -> int:
    return _run(vcpu.vm.batch(), vcpu, argument=1)


def _not_initialised(vcpu: Vcpu) -> int:
    return vcpu.vm.create_vcpu(features=None).try_run()


def _plain(vcpu: Vcpu) -> int:
    return vcpu.try_run()


def _immediate_exit(vcpu: Vcpu) -> int:
    return vcpu.immediate_exit()


def _pending_signal(vcpu: Vcpu) -> int:
    """The thread blocks a signal and sends it to itself. KVM_RUN's own mask does not block it."""
    batch = vcpu.vm.batch()
    program = batch.program
    blocked = program.scratch_bytes(struct.pack("<Q", 1 << _SIGUSR1 - 1))
    before, at_once = program.scratch(8), program.scratch(16)
    none_blocked = program.structure(struct.pack("<IQ", 8, 0), "no signal")
    program.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_BLOCK, blocked, before, 8)
    process, thread = program.syscall(syscalls.GETPID), program.syscall(syscalls.GETTID)
    program.syscall(syscalls.TGKILL, process, thread, _SIGUSR1)
    masked = batch.call("KVM_SET_SIGNAL_MASK", vcpu.fd, uapi.KVM_SET_SIGNAL_MASK, none_blocked)
    done = batch.run_vcpu(vcpu, signalled=True)
    unmasked = batch.ioctl("KVM_SET_SIGNAL_MASK", vcpu.fd, uapi.KVM_SET_SIGNAL_MASK, 0)
    program.syscall(syscalls.RT_SIGTIMEDWAIT, blocked, 0, at_once, 8)
    program.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_SETMASK, before, 0, 8)
    batch.run()
    masked.ok()
    unmasked.ok()
    return done.errno


def power_off(vcpu: Vcpu) -> None:
    """KVM_SET_MP_STATE: the vCPU waits to be turned on. Raises KvmError."""
    batch = vcpu.vm.batch()
    stopped = uapi.KVM_MP_STATE_STOPPED
    state = batch.program.structure(uapi.pack("kvm_mp_state", mp_state=stopped), "mp_state {}", stopped)
    done = batch.call("KVM_SET_MP_STATE", vcpu.fd, uapi.KVM_SET_MP_STATE, state)
    batch.run()
    done.ok()


def _powered_off(vcpu: Vcpu) -> int:
    """The vCPU sleeps in KVM_RUN until the executor's deadline interrupts it."""
    power_off(vcpu)
    batch = vcpu.vm.batch()
    batch.program.deadline_ms = _POWERED_OFF_MS
    return _run(batch, vcpu)


def _memory_gone(vcpu: Vcpu) -> int:
    """The guest's memory cannot be accessed by the process that runs it."""
    batch = vcpu.vm.batch()
    batch.program.syscall(syscalls.MPROTECT, vcpu.vm.memory, MEMORY_SIZE, 0)
    done = batch.run_vcpu(vcpu)
    batch.program.syscall(syscalls.MPROTECT, vcpu.vm.memory, MEMORY_SIZE, 3)
    batch.run()
    return done.errno


_SVE, _PMU = ("KVM_CAP_ARM_SVE", uapi.KVM_CAP_ARM_SVE), ("KVM_CAP_ARM_PMU_V3", uapi.KVM_CAP_ARM_PMU_V3)
WITH_SVE = (*PSCI_0_2, uapi.KVM_ARM_VCPU_SVE)
WITH_PMU = (*PSCI_0_2, uapi.KVM_ARM_VCPU_PMU_V3)

WITH_ARGUMENT = RunCase("argument_1", _with_argument, errno.EINVAL, locks=False, rfc_locks=False)
NOT_INITIALISED = RunCase("not_initialised", _not_initialised, errno.ENOEXEC, locks=False, rfc_locks=None)
SVE_NOT_FINALISED = RunCase("sve_not_finalised", _plain, errno.EPERM, False, None, WITH_SVE, _SVE)
PMU_NOT_INITIALISED = RunCase("pmu_not_initialised", _plain, errno.EINVAL, False, None, WITH_PMU, _PMU)
PLAIN_RUN = RunCase("guest_ran", _plain, 0, locks=True, rfc_locks=True)
IMMEDIATE_EXIT = RunCase("immediate_exit", _immediate_exit, errno.EINTR, locks=True, rfc_locks=True)
PENDING_SIGNAL = RunCase("pending_signal", _pending_signal, errno.EINTR, locks=True, rfc_locks=True)
POWERED_OFF = RunCase("powered_off", _powered_off, errno.EINTR, locks=True, rfc_locks=True)
MEMORY_GONE = RunCase("memory_gone", _memory_gone, errno.EFAULT, locks=True, rfc_locks=True)
