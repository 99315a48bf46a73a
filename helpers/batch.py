# SPDX-License-Identifier: GPL-2.0-only
"""KVM calls made together: many ONE_REG accesses, runs and other ioctls in one round trip, in order."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from helpers.executor.program import Answer, Arg, OpResult, Program
from helpers.subjects.base import Subject
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterLike, error_name, show_bits


class VcpuLike(Protocol):
    """What a call on a vCPU needs to know of it: numbers in the executor's process, or results yet to come."""

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


@dataclass
class Pending:
    """A call in a batch; ``errno``, ``ret`` and ``value`` are there once the batch has run.

    ``value`` is what a GET wrote, None where it failed; ``memory`` the 8 bytes that the call was given
    to write to, as they are afterwards, whether it failed or not.
    """

    what: str
    ref: Arg
    value_ref: Arg | None = None
    errno: int = -1
    ret: int = -1
    value: int | None = None
    memory: int | None = None

    def settle(self, answer: Answer) -> None:
        """Takes this call's part of the answer. Raises KvmError when it was not reached."""
        result = answer[self.ref]
        if not result.ran:
            raise KvmError(f"{self.what} was not reached before the deadline")
        self.errno, self.ret = result.errno, result.ret
        if self.value_ref is not None:
            (self.memory,) = struct.unpack("<Q", answer[self.value_ref].data)
            self.value = None if result.errno else self.memory

    def ok(self) -> Pending:
        """Raises KvmError unless the call succeeded."""
        if self.errno:
            raise KvmError(f"{self.what} failed: {error_name(self.errno)} ({os.strerror(self.errno)})")
        return self


class Batch:
    """Calls in one round trip. ``program`` takes whatever there is no method for."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.program = Program()
        self._pending: list[Pending] = []

    def ioctl(self, what: str, fd: int | Arg, request: int, argument: int | Arg = 0) -> Pending:
        """Any ioctl; ``what`` names it in errors."""
        return self._add(Pending(what, self.program.ioctl(fd, request, argument)))

    def mmap(self, what: str, length: int, flags: int, fd: int | Arg) -> Pending:
        """mmap(2), to read and write."""
        return self._add(Pending(what, self.program.mmap(length, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd)))

    def _one_reg(self, fd: int | Arg, request: int, register: RegisterLike, value: int) -> tuple[Arg, Arg]:
        at = self.program.scratch_bytes(struct.pack("<Q", value))
        arg = self.program.scratch(16)
        self.program.poke(arg, struct.pack("<Q", register.id))
        self.program.poke_address(arg + 8, at)
        return self.program.ioctl(fd, request, arg), at

    def get(self, vcpu: VcpuLike, register: RegisterLike, *, memory: int = 0) -> Pending:
        """KVM_GET_ONE_REG into 8 bytes that hold ``memory`` before."""
        ref, at = self._one_reg(vcpu.fd, uapi.KVM_GET_ONE_REG, register, memory)
        return self._add(Pending(f"KVM_GET_ONE_REG {register.name}", ref, self.program.peek(at, 8)))

    def set(self, vcpu: VcpuLike, register: RegisterLike, value: int) -> Pending:
        """KVM_SET_ONE_REG."""
        return self.set_on(vcpu.fd, register, value)

    def set_on(self, fd: int | Arg, register: RegisterLike, value: int) -> Pending:
        """KVM_SET_ONE_REG on any fd."""
        ref, _ = self._one_reg(fd, uapi.KVM_SET_ONE_REG, register, value)
        return self._add(Pending(f"KVM_SET_ONE_REG {register.name} = {show_bits(value)}", ref))

    def vcpu_init(self, vm_fd: int | Arg, vcpu_fd: int | Arg, features: Iterable[int]) -> tuple[Pending, Pending]:
        """KVM_ARM_PREFERRED_TARGET and KVM_ARM_VCPU_INIT with the features (their bit numbers)."""
        init = self.program.scratch(uapi.ffi.sizeof("struct kvm_vcpu_init"))
        target = self.ioctl("KVM_ARM_PREFERRED_TARGET", vm_fd, uapi.KVM_ARM_PREFERRED_TARGET, init)
        words = [0] * 7
        for number in features:
            words[number // 32] |= 1 << number % 32
        self.program.poke(init + 4, struct.pack("<7I", *words))
        return target, self.ioctl("KVM_ARM_VCPU_INIT", vcpu_fd, uapi.KVM_ARM_VCPU_INIT, init)

    def run_vcpu(self, vcpu: VcpuLike, *, immediate_exit: bool = False) -> Pending:
        """KVM_RUN; with ``immediate_exit`` no guest instruction runs."""
        flag = vcpu.run_address + uapi.offset("kvm_run_mmio", "immediate_exit")
        if immediate_exit:
            self.program.poke(flag, b"\1")
        done = self.ioctl("KVM_RUN", vcpu.fd, uapi.KVM_RUN)
        if immediate_exit:
            self.program.poke(flag, b"\0")
        return done

    def device_attr(self, what: str, fd: int | Arg, request: int, group: int, attr: int, data: bytes) -> Pending:
        """KVM_{SET,GET,HAS}_DEVICE_ATTR with a pointer to ``data``."""
        at = self.program.scratch_bytes(data)
        arg = self.program.scratch_bytes(uapi.pack("kvm_device_attr", group=group, attr=attr))
        self.program.poke_address(arg + uapi.offset("kvm_device_attr", "addr"), at)
        return self.ioctl(what, fd, request, arg)

    def set_filter(self, vm_fd: int | Arg, base: int, count: int, action: int, *, pad: bytes = b"") -> Pending:
        """KVM_ARM_VM_SMCCC_FILTER for ``count`` function ids from ``base`` on."""
        data = uapi.pack("kvm_smccc_filter", base=base, nr_functions=count, action=action, pad=pad.ljust(15, b"\0"))
        what = f"KVM_ARM_VM_SMCCC_FILTER base {base:#x}, {count:#x} functions, action {action}"
        group, attr = uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER
        return self.device_attr(what, vm_fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)

    def _add(self, pending: Pending) -> Pending:
        self._pending.append(pending)
        return pending

    def run(self) -> Answer:
        """Makes all the calls; the answer holds the results of what was put into ``program`` directly."""
        answer = self._subject.run(self.program)
        for pending in self._pending:
            pending.settle(answer)
        return answer
