# SPDX-License-Identifier: GPL-2.0-only
"""Kvm, Vm and Vcpu: KVM calls of one round trip each (Documentation/virt/kvm/api.rst)."""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from helpers.batch import Batch, KvmError, ok
from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, OpResult, Program
from helpers.guest_layout import DEFAULT_IPA_BITS, MEMORY_SIZE
from helpers.kvm_program import VCPU_INIT_STEPS, GuestImage, KvmProgram, NewVcpu, NewVm
from helpers.placement import Placement, place_vcpus, unplace_vcpus
from helpers.subjects.base import Subject
from helpers.subjects.kernel_log import whole_log
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from helpers.uapi.notation import RegisterLike, error_name

PSCI_0_2 = (uapi.KVM_ARM_VCPU_PSCI_0_2,)
"""The default features of KVM_ARM_VCPU_INIT."""

_REG_LIST_ROOM = 2048
_KVM_MESSAGE = re.compile(r"kvm \[\d+\]: (.{1,200})")


@dataclass
class Vcpu:
    """A vCPU: its fd and the address of its struct kvm_run, in the executor's process."""

    vm: Vm
    index: int
    fd: int
    run_address: int

    def try_get_reg(self, register: RegisterLike) -> tuple[int | None, int]:
        """KVM_GET_ONE_REG: the value (None on failure) and the errno."""
        batch = self.vm.batch()
        read = batch.get(self, register)
        batch.run()
        return read.value, read.errno

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
        return batch.run_for_errno(batch.set(self, register, value))

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
        program = KvmProgram()
        listing = program.reg_list(self.fd, _REG_LIST_ROOM)
        answer = self.vm.kvm.subject.run(program)
        ok(answer[listing.done], "KVM_GET_REG_LIST")
        count, ids = listing.listed(answer)
        if count > _REG_LIST_ROOM:
            raise KvmError(f"KVM_GET_REG_LIST succeeded with n = {count} where there was room for {_REG_LIST_ROOM}")
        return list(ids[:count])

    def try_init(self, features: Iterable[int] = PSCI_0_2) -> int:
        """KVM_ARM_VCPU_INIT, also of an initialised vCPU: the errno. The guest restarts at its entry."""
        batch = self.vm.batch()
        preferred, init = batch.program.prepare_init(self.vm.fd, features)
        target = batch.pending("KVM_ARM_PREFERRED_TARGET", preferred)
        done = batch.pending("KVM_ARM_VCPU_INIT", batch.program.init_vcpu(self.fd, init))
        batch.program.set_entry(self.fd)
        batch.run()
        target.ok()
        return done.errno

    def try_run(self) -> int:
        """KVM_RUN of a guest that makes no call: the errno."""
        batch = self.vm.batch()
        return batch.run_for_errno(batch.run_vcpu(self))

    def immediate_exit(self) -> int:
        """KVM_RUN with immediate_exit set: no guest instruction runs. The errno, which must be EINTR."""
        batch = self.vm.batch()
        return batch.run_for_errno(batch.run_with_immediate_exit(self))

    def try_set_attr(self, group: int, attr: int, value: int) -> int:
        """KVM_SET_DEVICE_ATTR with a u64: the errno."""
        return self.vm.try_device_attr(self.fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, struct.pack("<Q", value))


@dataclass
class Vm:
    """A VM with one slot of guest memory and its vCPUs; a context manager that closes it."""

    kvm: Kvm
    fd: int
    memory: int
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

    def try_device_attr(self, fd: int, request: int, group: int, attr: int, data: bytes) -> int:
        """KVM_{SET,GET,HAS}_DEVICE_ATTR on the VM's fd or a vCPU's, with a pointer to ``data``: the errno."""
        batch = self.batch()
        call = batch.device_attr(f"device attribute {group}.{attr}", fd, request, group, attr, data)
        return batch.run_for_errno(call)

    def try_set_filter(self, base: int, count: int, action: int) -> int:
        """KVM_ARM_VM_SMCCC_FILTER: an action for ``count`` function ids from ``base`` on. The errno."""
        batch = self.batch()
        return batch.run_for_errno(batch.set_filter(self.fd, base, count, action))

    def set_filter(self, base: int, count: int, action: int) -> None:
        """As try_set_filter. Raises KvmError."""
        batch = self.batch()
        done = batch.set_filter(self.fd, base, count, action)
        batch.run()
        done.ok()

    def try_create_vcpu(
        self, features: Iterable[int] | None = PSCI_0_2, *, number: int | None = None
    ) -> tuple[Vcpu | None, int]:
        """KVM_CREATE_VCPU with the id ``number`` (default: the next one), initialised unless ``features`` is None.

        The vCPU, or None and KVM_CREATE_VCPU's errno. Raises KvmError if a later call fails.
        """
        program = KvmProgram()
        number = len(self.vcpus) if number is None else number
        new = program.create_guest_vcpu(self.fd, number, self.kvm.run_size, features)
        answer = self.kvm.subject.run(program)
        if answer[new.fd].ran and answer[new.fd].errno:
            return None, answer[new.fd].errno
        with self.kvm.closing_on_error(answer, fds=[new.fd], mappings=[(new.run_address, self.kvm.run_size)]):
            self.vcpus.append(_vcpu(self, number, new, answer))
        return self.vcpus[-1], 0

    def create_vcpu(self, features: Iterable[int] | None = PSCI_0_2, *, number: int | None = None) -> Vcpu:
        """KVM_CREATE_VCPU with the id ``number`` (default: the next one). Raises KvmError."""
        vcpu, error = self.try_create_vcpu(features, number=number)
        if vcpu is None:
            number = len(self.vcpus) if number is None else number
            raise KvmError(f"KVM_CREATE_VCPU {number} failed: {error_name(error)}")
        return vcpu

    def close(self) -> None:
        """Closes every fd and unmaps the memory, unless the kernel died."""
        if not self.kvm.alive:
            return
        program = KvmProgram()
        self.add_close(program)
        self.kvm.subject.run(program)

    def add_close(self, program: KvmProgram) -> None:
        """Adds the calls of ``close`` to a program."""
        vcpus = [(vcpu.fd, vcpu.run_address) for vcpu in self.vcpus]
        program.close_vm(self.fd, self.memory, vcpus, self.kvm.run_size)
        self.vcpus = []


class Kvm:
    """/dev/kvm of a subject. Its VMs have ``ipa_bits`` bits of guest physical addresses and the type ``vm_type``."""

    def __init__(self, subject: Subject, image: bytes) -> None:
        """Opens /dev/kvm. ``image`` is the code of all guests. Raises HarnessError if there is no KVM."""
        self.subject = subject
        subject.start()
        self._generation = subject.generation
        program = KvmProgram()
        fd = program.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        version = program.ioctl(fd, uapi.KVM_GET_API_VERSION)
        size = program.ioctl(fd, uapi.KVM_GET_VCPU_MMAP_SIZE)
        limit = program.ioctl(fd, uapi.KVM_CHECK_EXTENSION, uapi.KVM_CAP_ARM_VM_IPA_SIZE)
        # Stays open: the first VM enables virtualisation on every CPU and the end of the last one disables it, which is
        # a third of the cost of a single VM.
        lasting = program.create_vm(fd, 0)
        answer = subject.run(program)
        if answer[fd].errno:
            message = _kvm_message(subject)
            raise HarnessError(
                f"{subject.label} has no usable KVM",
                why=f"opening /dev/kvm gives {answer[fd].error}{f'; kernel log: {message!r}' if message else ''}",
                cure="Build the kernel with CONFIG_VIRTUALIZATION and CONFIG_KVM, and start it at EL2",
            )
        if answer[version].ret != uapi.KVM_API_VERSION:
            raise HarnessError(f"{subject.label} has KVM API version {answer[version].ret}, not 12")
        self.fd = answer[fd].ret
        self.image = GuestImage(image, _image_file(subject, image))
        self.vm_type, self.ipa_bits = 0, DEFAULT_IPA_BITS
        self._lasting = self._within_limit(answer[lasting], answer[limit].ret)
        self.run_size = ok(answer[size], "KVM_GET_VCPU_MMAP_SIZE")
        self._leaving: list[Vm] = []
        self.placement: Placement = place_vcpus(subject, self._lasting)

    def _within_limit(self, default: OpResult, limit: int) -> int:
        """The fd of the VM of type 0; if the host refuses that type, of a VM with the host's limit, as all later VMs.

        ``limit`` is in bits, and 0 on kernels without KVM_CAP_ARM_VM_IPA_SIZE, which make VMs of type 0 alone.
        """
        if default.errno != errno.EINVAL or limit <= 0:
            return default.ret
        self.vm_type = self.ipa_bits = limit
        program = KvmProgram()
        vm = program.create_vm(self.fd, limit)
        return self.subject.run(program)[vm].ret

    def place(self) -> None:
        """Chooses the cores of vCPUs again, after processors were brought up or taken off."""
        self.placement = place_vcpus(self.subject, self._lasting)

    @property
    def alive(self) -> bool:
        """Whether the kernel on which /dev/kvm was opened still runs."""
        return self.subject.alive and self.subject.generation == self._generation

    def close(self) -> None:
        """Closes /dev/kvm and the VMs of ``close_later``, unless the kernel died. Closes no other VM."""
        if self.alive:
            unplace_vcpus(self.subject, self.placement)
            program = self.closing()
            program.close(self._lasting)
            program.close(self.fd)
            if self.image.fd is not None:
                program.close(self.image.fd)
            self.subject.run(program)

    @contextmanager
    def without_lasting_vm(self) -> Iterator[None]:
        """Closes the VM that stays open: in the block the host has no VM but the test's, and those of other programs.

        Raises KvmError.
        """
        program = KvmProgram()
        closed = program.close(self._lasting)
        ok(self.subject.run(program)[closed], "close of a VM")
        try:
            yield
        finally:
            if self.alive:
                program = KvmProgram()
                vm = program.create_vm(self.fd, self.vm_type)
                self._lasting = ok(self.subject.run(program)[vm], f"KVM_CREATE_VM (type {self.vm_type})")

    def close_later(self, vm: Vm) -> None:
        """Closes the VM with ``closing``: one round trip for what ends with a test."""
        self._leaving.append(vm)

    def closing(self) -> Program:
        """A program that closes the VMs of ``close_later``; an empty one if the kernel died."""
        program = KvmProgram()
        leaving, self._leaving = self._leaving, []
        for vm in leaving if self.alive else ():
            vm.add_close(program)
        return program

    def check_extension(self, capability: int, *, fd: int | None = None) -> int:
        """KVM_CHECK_EXTENSION on /dev/kvm, or on ``fd``. Raises KvmError."""
        program = Program()
        done = program.ioctl(self.fd if fd is None else fd, uapi.KVM_CHECK_EXTENSION, capability)
        return ok(self.subject.run(program)[done], f"KVM_CHECK_EXTENSION({capability})")

    def create_vm(
        self,
        vcpus: int | Sequence[int] = 1,
        *,
        features: Iterable[int] | None = PSCI_0_2,
        vm_type: int | None = None,
    ) -> Vm:
        """A VM with guest memory, the guest loaded, and vCPUs at its entry. Raises KvmError.

        ``vcpus`` is their number, or their ids in the order of creation. ``features`` are for KVM_ARM_VCPU_INIT (bit
        numbers); None leaves the vCPUs uninitialised. ``vm_type`` is the VM's number of IPA bits, if it is not that of
        the other VMs.
        """
        program, numbers = KvmProgram(), range(vcpus) if isinstance(vcpus, int) else vcpus
        new = program.create_guest_vm(self.fd, self.vm_type if vm_type is None else vm_type, self.image)
        new_vcpus = [program.create_guest_vcpu(new.fd, i, self.run_size, features) for i in numbers]
        answer = self.subject.run(program)
        mappings = [*((each.run_address, self.run_size) for each in new_vcpus), (new.memory, MEMORY_SIZE)]
        with self.closing_on_error(answer, fds=[*(each.fd for each in new_vcpus), new.fd], mappings=mappings):
            return _vm(self, new, dict(zip(numbers, new_vcpus, strict=True)), answer)

    @contextmanager
    def closing_on_error(
        self, answer: Answer, *, fds: Iterable[Arg], mappings: Iterable[tuple[Arg, int]]
    ) -> Iterator[None]:
        """If the block raises KvmError, closes these fds and unmaps these mappings (address, size)."""
        try:
            yield
        except KvmError:
            program = Program()
            for each, size in mappings:
                if answer[each].ran and not answer[each].errno:
                    program.munmap(answer[each].ret, size)
            for each in fds:
                if answer[each].ran and not answer[each].errno:
                    program.close(answer[each].ret)
            self.subject.run(program)
            raise


def _image_file(subject: Subject, code: bytes) -> int | None:
    """The fd of a new memfd for GuestImage; None if the kernel has no memfd_create(2), or no memory for it."""
    # Linux 6.3 and later log a line for each memfd without MFD_NOEXEC_SEAL. Earlier kernels refuse it.
    for flags in (syscalls.MFD_CLOEXEC | syscalls.MFD_NOEXEC_SEAL, syscalls.MFD_CLOEXEC):
        program = Program(traced=False)
        fd = program.syscall(syscalls.MEMFD_CREATE, program.scratch_bytes(b"guest\0"), flags)
        written = program.write(fd, code.ljust(MEMORY_SIZE, b"\0"))
        answer = subject.run(program)
        if answer[written].ret == MEMORY_SIZE:
            return answer[fd].ret
        if not answer[fd].errno:
            program = Program(traced=False)
            program.close(answer[fd].ret)
            subject.run(program)
    return None


def _kvm_message(subject: Subject) -> str:
    """The last message of kvm_arm_init (arch/arm64/kvm/arm.c) in the kernel's log; "" for none."""
    messages = [match[1] for line in whole_log(subject) if (match := _KVM_MESSAGE.match(line))]
    return messages[-1] if messages else ""


def _vm(kvm: Kvm, new: NewVm, vcpus: Mapping[int, NewVcpu], answer: Answer) -> Vm:
    """The VM that these calls created; ``vcpus`` by id. Raises KvmError if one of them failed."""
    memory = ok(answer[new.memory], "mmap of guest memory")
    vm = Vm(kvm, ok(answer[new.fd], f"KVM_CREATE_VM (type {kvm.vm_type})"), memory)
    ok(answer[new.region], "KVM_SET_USER_MEMORY_REGION")
    vm.vcpus = [_vcpu(vm, index, each, answer) for index, each in vcpus.items()]
    return vm


def _vcpu(vm: Vm, index: int, new: NewVcpu, answer: Answer) -> Vcpu:
    """The vCPU that these calls created. Raises KvmError if one of them failed."""
    fd = ok(answer[new.fd], f"KVM_CREATE_VCPU {index}")
    for what, done in zip(VCPU_INIT_STEPS, new.init, strict=False):
        ok(answer[done], what)
    return Vcpu(vm, index, fd, ok(answer[new.run_address], "mmap of struct kvm_run"))
