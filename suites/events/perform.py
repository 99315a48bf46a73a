# SPDX-License-Identifier: GPL-2.0-only
"""Adds an event to a program. The actor is the main thread, another thread, or one that uses duplicated fds."""

from __future__ import annotations

import struct
from dataclasses import replace

from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.events.events import EventPlace, NeutralEvent
from suites.support.threads import sleep, timespec

ACTORS = ("the main thread", "another thread", "duplicated fds")
BLOCKED_NS = 10_000_000
"""Time after which a signal ends KVM_RUN of a vCPU that does not return."""
_AT_MOST_NS = 5_000_000_000
_SIGUSR1 = 10
_F_GETOWN, _F_SETOWN_EX = 9, 15


def perform(program: KvmProgram, event: NeutralEvent, place: EventPlace, actor: str) -> None:
    """Appends the event's calls to the program."""
    if actor == "duplicated fds":
        vm, vcpu = (program.syscall(syscalls.DUP, fd) for fd in (place.vm, place.vcpu))
        _once(program, event, replace(place, vm=vm, vcpu=vcpu))
        program.close(vcpu)
        program.close(vm)
    elif actor == "another thread" and not event.blocks:
        with program.concurrently() as stage:
            with stage.thread():
                event.does(program, place)
            # A stage with only one thread would run in the main thread.
            with stage.thread():
                program.syscall(syscalls.GETTID)
    else:
        _once(program, event, place)


def _once(program: KvmProgram, event: NeutralEvent, place: EventPlace) -> None:
    if event.blocks:
        _until_signal(program, event, place)
    else:
        event.does(program, place)


def _until_signal(program: KvmProgram, event: NeutralEvent, place: EventPlace) -> None:
    """The event in a thread to which another one sends a signal. The thread blocks the signal except in KVM_RUN."""
    blocked, before = program.scratch_bytes(struct.pack("<Q", 1 << _SIGUSR1 - 1)), program.scratch(8)
    owner = program.scratch(16)
    with program.concurrently() as stage:
        with stage.thread():
            program.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_BLOCK, blocked, before, 8)
            program.call(place.vcpu, uapi.KVM_SET_SIGNAL_MASK, program.structure(struct.pack("<IQ", 8, 0)))
            program.poke_address(owner + 4, program.syscall(syscalls.GETTID))
            program.barrier()
            event.does(program, place)
            program.syscall(syscalls.RT_SIGTIMEDWAIT, blocked, 0, timespec(program, _AT_MOST_NS), 8)
            program.ioctl(place.vcpu, uapi.KVM_SET_SIGNAL_MASK, 0)
            program.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_SETMASK, before, 0, 8)
        with stage.thread():
            program.barrier()
            sleep(program, BLOCKED_NS)
            # F_GETOWN returns the first thread's id from the memory: an argument cannot be another thread's result.
            program.syscall(syscalls.FCNTL, place.kvm, _F_SETOWN_EX, owner)
            thread = program.syscall(syscalls.FCNTL, place.kvm, _F_GETOWN)
            program.syscall(syscalls.TGKILL, program.syscall(syscalls.GETPID), thread, _SIGUSR1)
