# SPDX-License-Identifier: GPL-2.0-only
"""Conditions of a vCPU or a VM, such as guest debugging, that change nothing that the contract defines."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.events.events import Act, EventPlace
from suites.events.guest_events import expired_timer
from suites.events.memory_events import set_logging

_VCPU_SHIFT = 16


_COPIES = (900, 901)
"""Numbers that no other fd has: below the usual limit of 1024, and above the fds of any test."""


def _nothing(p: KvmProgram) -> None:
    """The condition ends with the VM."""


@dataclass(frozen=True)
class LastingCondition:
    """``begins`` appends the calls that begin it to a program. Their results are ignored: a host may refuse them.

    ``ends`` appends the calls that end what would outlive the VM. ``runs``: the vCPU runs, which locks the registers.
    ``guests``: the vCPUs' guests can make calls while it lasts. ``protected``: protected KVM can bear it.
    """

    name: str
    source: str
    begins: Act
    ends: Callable[[KvmProgram], None] = _nothing
    runs: bool = False
    guests: bool = True
    protected: bool = True


def _guest_debug(p: KvmProgram, at: EventPlace) -> None:
    p.call(at.vcpu, uapi.KVM_SET_GUEST_DEBUG, p.structure(uapi.pack("kvm_guest_debug", control=1)))


def _signal_mask(p: KvmProgram, at: EventPlace) -> None:
    p.call(at.vcpu, uapi.KVM_SET_SIGNAL_MASK, p.structure(struct.pack("<IQ", 8, 1 << 9)))


def _set_events(p: KvmProgram, at: EventPlace, *pending: int) -> None:
    """KVM_SET_VCPU_EVENTS with serror_pending, serror_has_esr and ext_dabt_pending."""
    exception = bytes(pending).ljust(16, b"\0")
    p.call(at.vcpu, uapi.KVM_SET_VCPU_EVENTS, p.structure(uapi.pack("kvm_vcpu_events", exception=exception)))


def _pending_serror(p: KvmProgram, at: EventPlace) -> None:
    """The guest does not take it: SErrors are masked at its entry."""
    _set_events(p, at, 1, 0, 0)


def _external_abort(p: KvmProgram, at: EventPlace) -> None:
    """The next KVM_RUN delivers it. On protected KVM, 7.3 panics (docs/findings.md)."""
    _set_events(p, at, 0, 0, 1)


def _expired_timer(p: KvmProgram, at: EventPlace) -> None:
    """There is no interrupt controller. So struct kvm_run shows the interrupt, and the guest does not take it."""
    expired_timer(p, at)
    p.set_entry(at.vcpu)


def _interrupt_line(p: KvmProgram, at: EventPlace) -> None:
    """The guest does not take the interrupt: it is masked at its entry."""
    number = uapi.KVM_ARM_IRQ_VCPU0_IRQ | (at.vcpu_id & 0xFF) << _VCPU_SHIFT
    p.call(at.vm, uapi.KVM_IRQ_LINE, p.structure(uapi.pack("kvm_irq_level", irq=number, level=1)))


def _dirty_log(p: KvmProgram, at: EventPlace) -> None:
    set_logging(p, at, uapi.KVM_MEM_LOG_DIRTY_PAGES)


def _counter_offset(p: KvmProgram, at: EventPlace) -> None:
    p.call(at.vm, uapi.KVM_ARM_SET_COUNTER_OFFSET, p.structure(struct.pack("<2Q", 1 << 32, 0)))


def _duplicated_fds(p: KvmProgram, at: EventPlace) -> None:
    for fd, copy in zip((at.vm, at.vcpu), _COPIES, strict=True):
        p.syscall(syscalls.DUP3, fd, copy, os.O_CLOEXEC)


def _close_duplicates(p: KvmProgram) -> None:
    for copy in _COPIES:
        p.close(copy)


CONDITIONS = (
    LastingCondition("guest_debug", "api.rst 4.87", _guest_debug),
    LastingCondition("signal_mask", "api.rst 4.21", _signal_mask),
    LastingCondition("pending_serror", "api.rst 4.32", _pending_serror),
    LastingCondition("external_abort", "api.rst 4.32", _external_abort, guests=False, protected=False),
    LastingCondition("expired_timer", "api.rst 8.9", _expired_timer, runs=True),
    LastingCondition("interrupt_line", "api.rst 4.25", _interrupt_line),
    LastingCondition("dirty_log", "api.rst 4.35", _dirty_log),
    LastingCondition("counter_offset", "api.rst 4.138", _counter_offset),
    LastingCondition("duplicated_fds", "dup(2)", _duplicated_fds, _close_duplicates),
)
