# SPDX-License-Identifier: GPL-2.0-only
"""The events of a guest: hypercalls, and instructions that trap. Each function appends calls to a program."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from helpers import guests
from helpers.contract.functions import ARCH_FEATURES, FUNCTIONS
from helpers.contract.neighbours import PSCI_CALLS
from helpers.contract.psci import AFFINITY_INFO, BIT_64, REFUSED_EVENTS, SYSTEM_SUSPEND
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.kvm_program import PC, KvmProgram
from helpers.smccc import Call, Conduit
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.events.events import FREE_IPA, Act, EventPlace, ioeventfd
from suites.events.memory_events import log_dirty_pages, with_read_only_slot
from suites.support.calls import CONDUITS, call_of

OTHER = 0xFFFF
"""A placeholder for another vCPU's MPIDR in a guest's arguments."""
_IMMEDIATES = tuple(conduit for conduit in Conduit if conduit not in {form.conduit for form in CONDUITS})
_CODE_IPA = PV_TIME_IPA + 0x800
"""Memory that neither the mailbox nor a stolen-time area uses."""
_EXIT = (0xD2A80001, 0x39000020, 0x14000000)
"""mov x1, #0x40000000 (EXIT_IPA of guest_asm/smccc_calls.S); strb w0, [x1]; b ."""
_TRAPS = (
    0xD503207F,  # wfi
    0xD503205F,  # wfe
    0xD5380400,  # mrs x0, id_aa64pfr0_el1
    0xD5380005,  # mrs x5, midr_el1
    0xD53B0020,  # mrs x0, ctr_el0
    *_EXIT,
)
_BRK = (0xD4200000,)
_STORES = (
    0xD2A40001,  # mov x1, #0x20000000: FREE_IPA
    0xB9000020,  # str w0, [x1]
    0xF2820001,  # movk x1, #0x1000
    0xB9000020,  # str w0, [x1]
    0xA9000020,  # stp x0, x0, [x1]: an access of two registers, which the syndrome does not describe
    *_EXIT,
)
_TIMER = (
    0xD2800020,  # mov x0, #1
    0xD51BE35F,  # msr cntv_cval_el0, xzr
    0xD51BE320,  # msr cntv_ctl_el0, x0
    0xD5033FDF,  # isb
    *_EXIT,
)
_NO_CODE = (
    0xD2A00020,  # mov x0, #0x10000
    0xF29F0000,  # movk x0, #0xf800: _CODE_IPA
    0xD518C000,  # msr vbar_el1, x0
    0xD5033FDF,  # isb
    0xD2A40001,  # mov x1, #0x20000000: FREE_IPA
    0xD61F0020,  # br x1
)
_EXTENSIONS = (
    0xD2A00020,  # mov x0, #0x10000
    0xF29F0000,  # movk x0, #0xf800: _CODE_IPA
    0xD518C000,  # msr vbar_el1, x0
    0xD2A00600,  # mov x0, #0x300000: FPEN
    0xD5181040,  # msr cpacr_el1, x0
    0xD5033FDF,  # isb
    0x6F00E400,  # movi v0.2d, #0
    0xD53B9C00,  # mrs x0, pmcr_el0
    0xB2400000,  # orr x0, x0, #1: E
    0xD51B9C00,  # msr pmcr_el0, x0
    0xD5033FDF,  # isb
    *_EXIT,
)
_GUESTS = (_TRAPS, _BRK, _STORES, _TIMER, _NO_CODE, _EXTENSIONS)
_VECTOR = 0x200
"""Offset of the vector for exceptions from the same exception level (Arm DDI 0487, D1.3.1.5)."""


def _words(words: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<I", word) for word in words)


_CODE = _words(word for each in _GUESTS for word in each).ljust(_VECTOR, b"\0") + _words(_EXIT)


def immediate_exit(p: KvmProgram, at: EventPlace) -> None:
    p.run_with_immediate_exit(at.vcpu, at.run_address)


def guest(*calls: Call, stopped: bool = False, line: bool = False, signalled: bool = False) -> Act:
    """The guest makes these calls. ``stopped``: stops another vCPU first. ``line``: an interrupt is pending."""

    def does(p: KvmProgram, at: EventPlace) -> None:
        if stopped and at.other_id != at.vcpu_id:
            off = uapi.pack("kvm_mp_state", mp_state=uapi.KVM_MP_STATE_STOPPED)
            p.call(at.other, uapi.KVM_SET_MP_STATE, p.structure(off))
        if line:
            _interrupt(p, at, 1)
        guests.put_calls(p, at.memory, [Call(c.function, _with_id(c, at.other_id), c.conduit) for c in calls])
        p.run(at.vcpu, signalled=signalled)
        if line:
            _interrupt(p, at, 0)

    return does


def _interrupt(p: KvmProgram, at: EventPlace, level: int) -> None:
    # Kernels disagree whether the number is the vCPU's id or its index.
    for number in {*range(8), at.vcpu_id}:
        irq = number << 16 | uapi.KVM_ARM_IRQ_VCPU0_IRQ
        p.call(at.vm, uapi.KVM_IRQ_LINE, p.structure(uapi.pack("kvm_irq_level", irq=irq, level=level)))


def _with_id(call: Call, number: int) -> tuple[int, ...]:
    # The affinity that arch/arm64/kvm/sys_regs.c:reset_mpidr() gives a vCPU.
    affinity = number & 0xF | number >> 4 << 8
    return tuple(affinity if each == OTHER else each for each in call.args)


def every_service(p: KvmProgram, at: EventPlace) -> None:
    """Every function by HVC and by SMC, and one with each other immediate."""
    calls = [call_of(function, form) for form in CONDUITS for function in FUNCTIONS]
    calls += [Call(FUNCTIONS[0].id, conduit=conduit) for conduit in _IMMEDIATES]
    for start in range(0, len(calls), guests.MAX_CALLS):
        guests.put_calls(p, at.memory, calls[start : start + guests.MAX_CALLS])
        p.run(at.vcpu)


def architecture_queries(p: KvmProgram, at: EventPlace) -> None:
    ids = (0x80000000, 0x80008000, 0x80007FFF, 0x80003FFF, 0x84000050, 0xC5000020, 0x86000000, 0xFFFFFFFF)
    guests.put_calls(p, at.memory, [Call(ARCH_FEATURES, (each,)) for each in ids])
    p.run(at.vcpu)


def psci_queries() -> Act:
    """Every PSCI call that returns, by HVC and by SMC, while another vCPU is stopped."""
    ends = (SYSTEM_SUSPEND, SYSTEM_SUSPEND | BIT_64)
    rows = [(row.id, row.args) for row in PSCI_CALLS if row.id not in ends]
    rows += [(function, args) for _, function, args, _ in REFUSED_EVENTS]
    rows += [(AFFINITY_INFO, (OTHER, 0)), (AFFINITY_INFO | BIT_64, (OTHER, 0))]
    return guest(*(Call(*row, form.conduit) for form in CONDUITS for row in rows), stopped=True)


def forwarded_calls(function: int) -> Act:
    """A forwarded HVC, after which the guest continues, and a forwarded SMC, which stays in progress."""

    def does(p: KvmProgram, at: EventPlace) -> None:
        for form in CONDUITS:
            guests.put_calls(p, at.memory, [Call(function, conduit=form.conduit)])
            p.run(at.vcpu)
            if form is not CONDUITS[-1]:
                p.run(at.vcpu)

    return does


def _run(p: KvmProgram, at: EventPlace, code: tuple[int, ...], *, signalled: bool = False) -> None:
    """Runs one of _GUESTS. All are written each time: code that has run does not change."""
    entry = _CODE_IPA + 4 * sum(map(len, _GUESTS[: _GUESTS.index(code)]))
    p.poke(at.memory + (_CODE_IPA - MEMORY_IPA), _CODE)
    p.set_reg(at.vcpu, p.one_reg(PC, entry))
    p.run(at.vcpu, signalled=signalled)


def traps(p: KvmProgram, at: EventPlace) -> None:
    """The guest executes WFI with an interrupt pending, WFE, and reads of system registers, and stores to no memory."""
    _interrupt(p, at, 1)
    _run(p, at, _TRAPS)
    _interrupt(p, at, 0)


def debug_exits(p: KvmProgram, at: EventPlace) -> None:
    """The guest executes BRK and then a single step, each of which ends KVM_RUN with KVM_EXIT_DEBUG.

    Then it runs with user space's hardware breakpoints, none of which is enabled.
    """
    for control, code in (
        (uapi.KVM_GUESTDBG_USE_SW_BP, _BRK),
        (uapi.KVM_GUESTDBG_SINGLESTEP, _EXTENSIONS),
        (uapi.KVM_GUESTDBG_USE_HW, _EXTENSIONS),
    ):
        debug = uapi.pack("kvm_guest_debug", control=uapi.KVM_GUESTDBG_ENABLE | control)
        p.call(at.vcpu, uapi.KVM_SET_GUEST_DEBUG, p.structure(debug))
        _run(p, at, code)
    p.call(at.vcpu, uapi.KVM_SET_GUEST_DEBUG, p.structure(uapi.pack("kvm_guest_debug")))


def stores_to_no_memory(p: KvmProgram, at: EventPlace) -> None:
    """The guest stores to an ioeventfd, to a coalesced MMIO zone and, with two registers, to an address without one.

    The last store ends KVM_RUN with ENOSYS.
    """
    fd = p.syscall(syscalls.EVENTFD2, 0, os.O_CLOEXEC)
    zone = p.structure(uapi.pack("kvm_coalesced_mmio_zone", addr=FREE_IPA + 0x1000, size=0x1000))
    ioeventfd(p, at, fd, assign=True)
    p.call(at.vm, uapi.KVM_REGISTER_COALESCED_MMIO, zone)
    _run(p, at, _STORES)
    p.call(at.vm, uapi.KVM_UNREGISTER_COALESCED_MMIO, zone)
    ioeventfd(p, at, fd, assign=False)
    p.close(fd)


def stores_to_read_only_memory(p: KvmProgram, at: EventPlace) -> None:
    """The guest stores to a read-only memory slot, which ends KVM_RUN with KVM_EXIT_MMIO."""
    with_read_only_slot(p, at, lambda: _run(p, at, _STORES))


def extensions(p: KvmProgram, at: EventPlace) -> None:
    """The guest uses a vector register, and enables its PMU. Without a PMU it takes an exception."""
    _run(p, at, _EXTENSIONS)


def dirty_pages(p: KvmProgram, at: EventPlace) -> None:
    """The guest makes a call, and so writes its result, while dirty logging is on. The log then has pages."""

    def run() -> None:
        guests.put_calls(p, at.memory, [Call(ARCH_FEATURES, (ARCH_FEATURES,))])
        p.run(at.vcpu)

    log_dirty_pages(p, at, run)


def no_code(p: KvmProgram, at: EventPlace) -> None:
    """The guest jumps to an address without memory, and takes the exception."""
    _run(p, at, _NO_CODE)


def expired_timer(p: KvmProgram, at: EventPlace) -> None:
    """The guest's timer expires. KVM_RUN fails with EINTR, and struct kvm_run shows the level of its interrupt."""
    _run(p, at, _TIMER, signalled=True)
