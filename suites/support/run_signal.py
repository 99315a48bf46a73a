# SPDX-License-Identifier: GPL-2.0-only
"""A signal by which one thread of a program ends the KVM_RUN of another one."""

from __future__ import annotations

import struct
from collections.abc import Callable

from helpers.batch import Batch, Pending
from helpers.executor.program import Arg
from helpers.kvm import Vcpu
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.support.threads import sleep, timespec

_AT_MOST_NS = 5_000_000_000
"""How long ``take`` waits for the signal."""
_SIGUSR1 = 10
_F_GETOWN, _F_SETOWN_EX = 9, 15


class RunSignal:
    """SIGUSR1 to the thread that calls ``block``, which blocks the signal except in KVM_RUN of one vCPU."""

    def __init__(self, program: KvmProgram) -> None:
        self._program = program
        self._set, self._before = program.scratch_bytes(struct.pack("<Q", 1 << _SIGUSR1 - 1)), program.scratch(8)
        self._owner = program.scratch(16)

    def block(self, vcpu: int | Arg) -> None:
        """The first calls of the thread that runs the vCPU. A barrier must follow before ``send``."""
        program = self._program
        program.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_BLOCK, self._set, self._before, 8)
        program.call(vcpu, uapi.KVM_SET_SIGNAL_MASK, program.structure(struct.pack("<IQ", 8, 0)))
        program.poke_address(self._owner + 4, program.syscall(syscalls.GETTID))

    def take(self, vcpu: int | Arg) -> None:
        """The last calls of the same thread: wait for the signal and take it, and restore the masks."""
        program = self._program
        program.syscall(syscalls.RT_SIGTIMEDWAIT, self._set, 0, timespec(program, _AT_MOST_NS), 8)
        program.ioctl(vcpu, uapi.KVM_SET_SIGNAL_MASK, 0)
        program.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_SETMASK, self._before, 0, 8)

    def send(self, fd: int | Arg) -> None:
        """Sends the signal, in another thread. Any open ``fd`` passes the first thread's id to this one.

        An argument cannot be another thread's result, but F_GETOWN returns what F_SETOWN_EX read from the memory.
        """
        program = self._program
        program.syscall(syscalls.FCNTL, fd, _F_SETOWN_EX, self._owner)
        thread = program.syscall(syscalls.FCNTL, fd, _F_GETOWN)
        program.syscall(syscalls.TGKILL, program.syscall(syscalls.GETPID), thread, _SIGUSR1)


def run_beside(batch: Batch, vcpu: Vcpu, pause_ms: int, meanwhile: Callable[[], None]) -> Pending:
    """KVM_RUN of the vCPU in one thread, and the calls of ``meanwhile`` in another one. A signal then ends KVM_RUN.

    ``pause_ms`` is the time between the start of KVM_RUN and the calls.
    """
    program = batch.program
    signal = RunSignal(program)
    with program.concurrently() as stage:
        with stage.thread():
            signal.block(vcpu.fd)
            program.barrier()
            run = batch.run_vcpu(vcpu, signalled=True)
            signal.take(vcpu.fd)
        with stage.thread():
            program.barrier()
            sleep(program, pause_ms * 1_000_000)
            meanwhile()
            signal.send(vcpu.vm.kvm.fd)
    return run
