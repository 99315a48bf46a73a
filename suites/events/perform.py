# SPDX-License-Identifier: GPL-2.0-only
"""Adds an event to a program. The actor is the main thread, another thread, or one that uses duplicated fds."""

from __future__ import annotations

from dataclasses import replace

from helpers.kvm_program import KvmProgram
from helpers.uapi import syscalls
from suites.events.events import EventPlace, NeutralEvent
from suites.support.run_signal import RunSignal
from suites.support.threads import sleep

ACTORS = ("the main thread", "another thread", "duplicated fds")
BLOCKED_NS = 10_000_000
"""Time after which a signal ends KVM_RUN of a vCPU that does not return."""


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
    """The event in a thread to which another one sends a signal."""
    signal = RunSignal(program)
    with program.concurrently() as stage:
        with stage.thread():
            signal.block(place.vcpu)
            program.barrier()
            event.does(program, place)
            signal.take(place.vcpu)
        with stage.thread():
            program.barrier()
            sleep(program, BLOCKED_NS)
            signal.send(place.kvm)
