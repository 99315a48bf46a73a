# SPDX-License-Identifier: GPL-2.0-only
"""ONE_REG accesses, runs and other ioctls in one round trip, in order."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Protocol

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, OpResult
from helpers.kvm_program import Argument, KvmProgram, OneReg
from helpers.subjects.base import Subject
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterLike, error_name


class VcpuLike(Protocol):
    """A vCPU in the executor: numbers, or references to results."""

    @property
    def fd(self) -> int | Arg: ...
    @property
    def run_address(self) -> int | Arg: ...


class KvmError(Exception):
    """A KVM call that had to succeed failed."""


def ok(result: OpResult, what: str) -> int:
    """The return value of a call that had to succeed. Raises KvmError."""
    if not result.ran:
        raise KvmError(f"{what} was not reached before the deadline")
    if result.errno:
        raise KvmError(f"{what} failed: {result.error} ({os.strerror(result.errno)})")
    return result.ret


_NO_RESULT = OpResult(-1, -1, False, b"")


@dataclass(slots=True)
class Pending:
    """A call in a batch. ``result`` is valid after the batch has run.

    ``what`` names the call in errors. ``pointer`` is the argument of an access to a register, or the PEEK of the memory
    that another call writes to, whose result is ``peeked``.
    """

    what: object
    ref: Arg
    pointer: OneReg | Arg | None = None
    result: OpResult = _NO_RESULT
    peeked: OpResult = _NO_RESULT

    @property
    def errno(self) -> int:
        """The errno, 0 for success."""
        return self.result.errno

    @property
    def ret(self) -> int:
        """The return value."""
        return self.result.ret

    @property
    def memory(self) -> int | None:
        """The number at the call's pointer after the call, which may have failed; None without a pointer."""
        if self.pointer is None or not self.result.ran:
            return None
        if isinstance(self.pointer, OneReg):
            return self.pointer.after(self.result)
        return int.from_bytes(self.peeked.data, "little")

    @property
    def value(self) -> int | None:
        """The same number; None if the call failed."""
        return None if self.result.errno else self.memory

    def settle(self, answer: Answer) -> None:
        """Reads this call's results. Raises KvmError if an earlier call blocked, HarnessError if all were too slow."""
        result = answer[self.ref]
        if not result.ran and answer.ran_out_of_time:
            why = "each earlier call returned, but together they took longer than the program's deadline"
            cure = "Run on a machine that is less busy"
            raise HarnessError(f"{self.what} was not reached before the deadline", why=why, cure=cure)
        if not result.ran:
            # Of a forked child that blocks in this call, only its end is known.
            missed = "did not return" if answer.forked else "was not reached"
            raise KvmError(f"{self.what} {missed} before the deadline")
        self.result = result
        if isinstance(self.pointer, Arg):
            self.peeked = answer[self.pointer]

    def ok(self) -> Pending:
        """Raises KvmError unless the call succeeded."""
        if self.errno:
            raise KvmError(f"{self.what} failed: {error_name(self.errno)} ({os.strerror(self.errno)})")
        return self


class Batch:
    """Calls in one round trip. Append a call that has no method here to ``program``."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.program = KvmProgram()
        self._pending: list[Pending] = []

    def pending(self, what: object, ref: Arg, pointer: OneReg | Arg | None = None) -> Pending:
        """A call that is in ``program``. ``pointer`` is as in Pending."""
        pending = Pending(what, ref, pointer)
        self._pending.append(pending)
        return pending

    def ioctl(self, what: str, fd: int | Arg, request: int, argument: int | Arg = 0) -> Pending:
        """Any ioctl; ``what`` names it in errors."""
        return self.pending(what, self.program.ioctl(fd, request, argument))

    def call(self, what: object, fd: int | Arg, request: int, argument: Argument) -> Pending:
        """An ioctl with a structure of the program."""
        return self.pending(what, self.program.call(fd, request, argument))

    def mmap(self, what: str, length: int, flags: int, fd: int | Arg) -> Pending:
        """mmap(2), to read and write."""
        return self.pending(what, self.program.mmap(length, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd))

    def get(self, vcpu: VcpuLike, register: RegisterLike, *, memory: int = 0) -> Pending:
        """KVM_GET_ONE_REG into 8 bytes that hold ``memory`` before the call."""
        return self.get_into(vcpu, self.program.one_reg(register, memory))

    def get_into(self, vcpu: VcpuLike, one_reg: OneReg) -> Pending:
        """KVM_GET_ONE_REG with a structure of the program."""
        read = self.program.get_reg(vcpu.fd, one_reg)
        return self.pending(read, read.done, one_reg)

    def set(self, vcpu: VcpuLike, register: RegisterLike, value: int) -> Pending:
        """KVM_SET_ONE_REG."""
        return self.set_on(vcpu.fd, register, value)

    def set_on(self, fd: int | Arg, register: RegisterLike, value: int) -> Pending:
        """KVM_SET_ONE_REG on any fd."""
        one_reg = self.program.one_reg(register, value)
        return self.pending(one_reg, self.program.set_reg(fd, one_reg), one_reg)

    def run_vcpu(self, vcpu: VcpuLike, argument: int = 0, *, signalled: bool = False) -> Pending:
        """KVM_RUN. ``signalled``: a signal is pending, so that EINTR is the answer."""
        return self.pending("KVM_RUN", self.program.run(vcpu.fd, argument, signalled=signalled))

    def run_with_immediate_exit(self, vcpu: VcpuLike) -> Pending:
        """KVM_RUN with immediate_exit set: no guest instruction runs."""
        return self.pending("KVM_RUN", self.program.run_with_immediate_exit(vcpu.fd, vcpu.run_address))

    def device_attr(
        self, what: str, fd: int | Arg, request: int, group: int, attr: int, data: bytes | int | Arg
    ) -> Pending:
        """KVM_{SET,GET,HAS}_DEVICE_ATTR with a pointer to ``data``, or with ``data`` as the pointer."""
        return self.call(what, fd, request, self.program.device_attr(group, attr, data))

    def set_filter(self, vm_fd: int | Arg, base: int, count: int, action: int, *, pad: bytes = b"") -> Pending:
        """KVM_ARM_VM_SMCCC_FILTER for ``count`` function ids from ``base`` on."""
        rule = self.program.filter_range(base, count, action, pad=pad)
        return self.call(rule, vm_fd, uapi.KVM_SET_DEVICE_ATTR, rule)

    def run(self) -> Answer:
        """Runs the program. The answer also has the results of operations appended to ``program``."""
        answer = self.send()
        self.settle(answer)
        return answer

    def send(self) -> Answer:
        """Runs the program. The calls have no results before ``settle``."""
        return self._subject.run(self.program)

    def settle(self, answer: Answer) -> None:
        """Reads the results of the calls. Raises KvmError, HarnessError if one was not made before the deadline."""
        for pending in self._pending:
            pending.settle(answer)

    def run_for_errno(self, pending: Pending) -> int:
        """Runs the program; the errno of ``pending``."""
        self.run()
        return pending.errno
