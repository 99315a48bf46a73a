# SPDX-License-Identifier: GPL-2.0-only
"""Kvm, Vm and Vcpu: thin objects that turn KVM calls into programs (Documentation/virt/kvm/api.rst)."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, Program, Result
from helpers.subjects.base import Subject
from helpers.uapi import kvm as uapi

MEMORY_SIZE = 0x10000
"""Bytes of guest memory: one page even where pages are 64 KiB."""
MEMORY_IPA = 0x10000

_REG_LIST_ROOM = 2048


class RegisterLike(Protocol):
    """What ONE_REG calls need to know of a register."""

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> int: ...


class KvmError(Exception):
    """A KVM call that had to succeed failed."""


def error_name(number: int) -> str:
    """An errno's name; "success" for 0."""
    return errno.errorcode.get(number, f"errno {number}") if number else "success"


def _ok(result: Result, what: str) -> int:
    if not result.ran:
        raise KvmError(f"{what} was not reached before the deadline")
    if result.errno:
        raise KvmError(f"{what} failed: {result.error} ({os.strerror(result.errno)})")
    return result.ret


@dataclass
class Pending:
    """An access in a batch; ``errno`` and ``value`` are there once the batch has run."""

    what: str
    ref: Arg
    value_ref: Arg | None
    errno: int = -1
    value: int | None = None

    def settle(self, answer: Answer) -> None:
        """Takes this access's part of the answer."""
        result = answer[self.ref]
        if not result.ran:
            raise KvmError(f"{self.what} was not reached before the deadline")
        self.errno = result.errno
        if self.value_ref is not None and not result.errno:
            (self.value,) = struct.unpack("<Q", answer[self.value_ref].data)

    def ok(self) -> Pending:
        """Raises KvmError unless the call succeeded."""
        if self.errno:
            raise KvmError(f"{self.what} failed: {error_name(self.errno)} ({os.strerror(self.errno)})")
        return self


class Batch:
    """Many ONE_REG accesses and runs in one round trip, in order."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._program = Program()
        self._pending: list[Pending] = []

    def _one_reg(self, vcpu: Vcpu, request: int, register: RegisterLike, value: int) -> tuple[Arg, Arg]:
        # Guard value: a GET that fails must leave the memory alone, one that succeeds must write it.
        at = self._program.scratch_bytes(struct.pack("<Q", value))
        arg = self._program.scratch(16)
        self._program.poke(arg, struct.pack("<Q", register.id))
        self._program.poke_address(arg + 8, at)
        return self._program.ioctl(vcpu.fd, request, arg), at

    def get(self, vcpu: Vcpu, register: RegisterLike) -> Pending:
        """KVM_GET_ONE_REG."""
        ref, at = self._one_reg(vcpu, uapi.KVM_GET_ONE_REG, register, 0)
        return self._add(f"KVM_GET_ONE_REG {register.name}", ref, self._program.peek(at, 8))

    def set(self, vcpu: Vcpu, register: RegisterLike, value: int) -> Pending:
        """KVM_SET_ONE_REG."""
        ref, _ = self._one_reg(vcpu, uapi.KVM_SET_ONE_REG, register, value)
        return self._add(f"KVM_SET_ONE_REG {register.name} = {show_bits(value)}", ref, None)

    def _add(self, what: str, ref: Arg, value: Arg | None) -> Pending:
        self._pending.append(Pending(what, ref, value))
        return self._pending[-1]

    def run(self) -> None:
        """Makes all the calls."""
        answer = self._subject.run(self._program)
        for pending in self._pending:
            pending.settle(answer)


def show_bits(value: int) -> str:
    """``value`` in hexadecimal, and its set bits."""
    bits = [str(b) for b in range(64) if value >> b & 1]
    if len(bits) > 8:
        return f"{value:#x}"
    return f"{value:#x} (bits {', '.join(bits)})" if bits else "0x0 (no bit)"


@dataclass
class Vcpu:
    """A vCPU: its fd and its struct kvm_run, both numbers in the executor's process."""

    vm: Vm
    index: int
    fd: int
    run_address: int

    def try_get_reg(self, register: RegisterLike) -> tuple[int | None, int]:
        """KVM_GET_ONE_REG: the value (None on failure) and the errno."""
        batch = self.vm.batch()
        got = batch.get(self, register)
        batch.run()
        return got.value, got.errno

    def get_reg(self, register: RegisterLike) -> int:
        """KVM_GET_ONE_REG. Raises KvmError."""
        return self.get_regs([register])[0]

    def get_regs(self, registers: Sequence[RegisterLike]) -> list[int]:
        """KVM_GET_ONE_REG of each, in one round trip. Raises KvmError."""
        batch = self.vm.batch()
        pending = [batch.get(self, r) for r in registers]
        batch.run()
        return [p.ok().value or 0 for p in pending]

    def try_set_reg(self, register: RegisterLike, value: int) -> int:
        """KVM_SET_ONE_REG: the errno, 0 for success."""
        batch = self.vm.batch()
        done = batch.set(self, register, value)
        batch.run()
        return done.errno

    def set_reg(self, register: RegisterLike, value: int) -> None:
        """KVM_SET_ONE_REG. Raises KvmError with the register's name, the value and the errno."""
        self.set_regs([(register, value)])

    def set_regs(self, values: Sequence[tuple[RegisterLike, int]]) -> None:
        """KVM_SET_ONE_REG of each, in order, in one round trip. Raises KvmError."""
        batch = self.vm.batch()
        pending = [batch.set(self, register, value) for register, value in values]
        batch.run()
        for p in pending:
            p.ok()

    def reg_list(self) -> list[int]:
        """KVM_GET_REG_LIST: the ids in the kernel's order. Raises KvmError."""
        program = Program()
        at = program.scratch(8 + 8 * _REG_LIST_ROOM)
        program.poke(at, struct.pack("<Q", _REG_LIST_ROOM))
        done = program.ioctl(self.fd, uapi.KVM_GET_REG_LIST, at)
        got = program.peek(at, 8 + 8 * _REG_LIST_ROOM)
        answer = self.vm.kvm.subject.run(program)
        _ok(answer[done], "KVM_GET_REG_LIST")
        (count,) = struct.unpack_from("<Q", answer[got].data)
        if count > _REG_LIST_ROOM:
            raise KvmError(f"KVM_GET_REG_LIST succeeded with n = {count} where there was room for {_REG_LIST_ROOM}")
        return list(struct.unpack_from(f"<{count}Q", answer[got].data, 8))

    def immediate_exit(self) -> int:
        """KVM_RUN with immediate_exit set: no guest instruction runs. The errno (EINTR is the promised one)."""
        program = Program()
        flag = self.run_address + uapi.offset("kvm_run_mmio", "immediate_exit")
        program.poke(flag, b"\1")
        done = program.ioctl(self.fd, uapi.KVM_RUN)
        program.poke(flag, b"\0")
        return self.vm.kvm.subject.run(program)[done].errno

    def try_set_attr(self, group: int, attr: int, value: int) -> int:
        """KVM_SET_DEVICE_ATTR with a u64: the errno."""
        program = Program()
        at = program.scratch_bytes(struct.pack("<Q", value))
        arg = program.scratch_bytes(uapi.pack("kvm_device_attr", group=group, attr=attr))
        program.poke_address(arg + uapi.offset("kvm_device_attr", "addr"), at)
        done = program.ioctl(self.fd, uapi.KVM_SET_DEVICE_ATTR, arg)
        return self.vm.kvm.subject.run(program)[done].errno


@dataclass
class Vm:
    """A VM with one slot of guest memory and its vCPUs; a context manager that closes it."""

    kvm: Kvm
    fd: int
    memory: int
    run_size: int
    vcpus: list[Vcpu] = field(default_factory=list)

    def __enter__(self) -> Vm:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def vcpu(self) -> Vcpu:
        """The first vCPU."""
        return self.vcpus[0]

    def batch(self) -> Batch:
        """An empty batch for this VM's subject."""
        return Batch(self.kvm.subject)

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION on the VM's fd."""
        return self.kvm.check_extension(capability, fd=self.fd)

    def close(self) -> None:
        """Closes every fd and unmaps the memory; nothing when the kernel died and took them with it."""
        if not self.kvm.alive:
            return
        program = Program()
        for vcpu in self.vcpus:
            program.munmap(vcpu.run_address, self.run_size)
            program.close(vcpu.fd)
        program.close(self.fd)
        program.munmap(self.memory, MEMORY_SIZE)
        self.vcpus = []
        self.kvm.subject.run(program)


class Kvm:
    """/dev/kvm of a subject."""

    def __init__(self, subject: Subject, image: bytes) -> None:
        """Opens /dev/kvm; ``image`` is what guests are loaded with. Raises HarnessError when there is no KVM."""
        self.subject = subject
        self.image = image
        subject.start()
        self._generation = subject.generation
        program = Program()
        fd = program.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        version = program.ioctl(fd, uapi.KVM_GET_API_VERSION)
        size = program.ioctl(fd, uapi.KVM_GET_VCPU_MMAP_SIZE)
        answer = subject.run(program)
        if answer[fd].errno:
            raise HarnessError(
                f"{subject.label} has no usable KVM",
                why=f"opening /dev/kvm gives {answer[fd].error}",
                cure="Build the kernel with CONFIG_VIRTUALIZATION and CONFIG_KVM, and start it at EL2",
            )
        if answer[version].ret != uapi.KVM_API_VERSION:
            raise HarnessError(f"{subject.label} speaks KVM API version {answer[version].ret}, not 12")
        self.fd = answer[fd].ret
        self.run_size = _ok(answer[size], "KVM_GET_VCPU_MMAP_SIZE")

    @property
    def alive(self) -> bool:
        """Whether the kernel that this was opened on still runs."""
        return self.subject.alive and self.subject.generation == self._generation

    def check_extension(self, capability: int, *, fd: int | None = None) -> int:
        """KVM_CHECK_EXTENSION on /dev/kvm, or on ``fd``. Raises KvmError."""
        program = Program()
        done = program.ioctl(self.fd if fd is None else fd, uapi.KVM_CHECK_EXTENSION, capability)
        return _ok(self.subject.run(program)[done], f"KVM_CHECK_EXTENSION({capability})")

    def create_vm(self, vcpus: int = 1) -> Vm:
        """A VM with guest memory, the guest loaded, and vCPUs with PSCI 0.2 at its entry. Raises KvmError."""
        program = Program()
        memory = _map_memory(program, self.image)
        vm = program.ioctl(self.fd, uapi.KVM_CREATE_VM)
        calls = [("mmap of guest memory", memory), ("KVM_CREATE_VM", vm)]
        calls.append(("KVM_SET_USER_MEMORY_REGION", _add_memory(program, vm, memory)))
        made = []
        for i in range(vcpus):
            fd = program.ioctl(vm, uapi.KVM_CREATE_VCPU, i)
            calls += [(f"KVM_CREATE_VCPU {i}", fd), *_init_vcpu(program, vm, fd)]
            shared = program.mmap(self.run_size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd)
            calls.append(("mmap of struct kvm_run", shared))
            made.append((fd, shared))
        answer = self.subject.run(program)
        for what, ref in calls:
            _ok(answer[ref], what)
        result = Vm(self, answer[vm].ret, answer[memory].ret, self.run_size)
        result.vcpus = [Vcpu(result, i, answer[f].ret, answer[s].ret) for i, (f, s) in enumerate(made)]
        return result


def _map_memory(program: Program, image: bytes) -> Arg:
    anonymous = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
    memory = program.mmap(MEMORY_SIZE, mmap.PROT_READ | mmap.PROT_WRITE, anonymous)
    program.poke(memory, image)
    return memory


def _add_memory(program: Program, vm: Arg, memory: Arg) -> Arg:
    region = program.scratch_bytes(
        uapi.pack("kvm_userspace_memory_region", guest_phys_addr=MEMORY_IPA, memory_size=MEMORY_SIZE)
    )
    program.poke_address(region + uapi.offset("kvm_userspace_memory_region", "userspace_addr"), memory)
    return program.ioctl(vm, uapi.KVM_SET_USER_MEMORY_REGION, region)


def _init_vcpu(program: Program, vm: Arg, fd: Arg) -> list[tuple[str, Arg]]:
    init = program.scratch(uapi.ffi.sizeof("struct kvm_vcpu_init"))
    target = program.ioctl(vm, uapi.KVM_ARM_PREFERRED_TARGET, init)
    program.poke(init + 4, struct.pack("<I", 1 << uapi.KVM_ARM_VCPU_PSCI_0_2))
    done = program.ioctl(fd, uapi.KVM_ARM_VCPU_INIT, init)
    pc = program.scratch_bytes(struct.pack("<Q", MEMORY_IPA))
    one = program.scratch_bytes(struct.pack("<Q", uapi.KVM_REG_ARM_CORE_PC) + bytes(8))
    program.poke_address(one + 8, pc)
    entry = program.ioctl(fd, uapi.KVM_SET_ONE_REG, one)
    return [
        ("KVM_ARM_PREFERRED_TARGET", target),
        ("KVM_ARM_VCPU_INIT", done),
        (f"KVM_SET_ONE_REG pc = {MEMORY_IPA:#x}", entry),
    ]
