# SPDX-License-Identifier: GPL-2.0-only
"""Builds KVM calls in a program. Batches, the threads of a race and the model all use these methods.

A method appends operations and returns references to their results. It also keeps a description of each call, which
the trace formats if the test fails.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from helpers.executor.program import Answer, Arg, OpResult, Program
from helpers.guest_layout import MEMORY_IPA, MEMORY_SIZE
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId, RegisterLike, show_bits

PC = RegisterId("pc", uapi.KVM_REG_ARM_CORE_PC)
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_IMMEDIATE_EXIT = uapi.offset("kvm_run_mmio", "immediate_exit")
_INIT_SIZE = uapi.ffi.sizeof("struct kvm_vcpu_init")
_ATTR_POINTER = uapi.offset("kvm_device_attr", "addr")
_REGION_POINTER = uapi.offset("kvm_userspace_memory_region", "userspace_addr")


class Structure(NamedTuple):
    """A structure for an ioctl. ``words`` is the format string of its description, ``values`` are its arguments."""

    address: Arg
    words: str
    values: tuple[object, ...] = ()

    def __str__(self) -> str:
        return self.words.format(*self.values)


class VcpuFeatures(NamedTuple):
    """A struct kvm_vcpu_init with the preferred target and these features (bit numbers)."""

    address: Arg
    features: tuple[int, ...]

    def __str__(self) -> str:
        return f"features {', '.join(map(str, self.features)) or 'none'}"


class OneReg(NamedTuple):
    """The argument of KVM_GET_ONE_REG and KVM_SET_ONE_REG. Any number of calls, in any thread, may use it.

    If ``address`` is None, the executor builds a struct kvm_one_reg and the u64 ``value`` for each call. Otherwise the
    struct is there, and points to ``memory``, which contains ``value`` in ``size`` bytes.
    """

    register: RegisterLike
    value: int
    address: Arg | None = None
    memory: Arg | int | None = None
    size: int = 8

    def after(self, result: OpResult) -> int:
        """The number in memory after the call with this ``result``."""
        if not result.data and self.address is None:
            return self.value
        return int.from_bytes(result.data, "little")

    def __str__(self) -> str:
        return f"KVM_SET_ONE_REG {self.register.name} = {show_bits(self.value)}"


def _one_reg_in_memory(address: Arg, register: RegisterLike, memory: Arg | int, data: bytes) -> OneReg:
    return OneReg(register, int.from_bytes(data, "little"), address, memory, len(data))


class RegRead(NamedTuple):
    """A KVM_GET_ONE_REG, whose result has the memory that it writes to."""

    done: Arg
    one_reg: OneReg

    def errno(self, answer: Answer) -> int:
        """The errno of KVM_GET_ONE_REG."""
        return answer[self.done].errno

    def value(self, answer: Answer) -> int:
        """The memory after the call, as a number."""
        return self.one_reg.after(answer[self.done])

    def values(self, answer: Answer) -> list[int]:
        """The memory after each call of a repeated thread."""
        return list(map(self.one_reg.after, answer.results[self.done.index]))

    def __str__(self) -> str:
        return f"KVM_GET_ONE_REG {self.one_reg.register.name}"


class RegList(NamedTuple):
    """A KVM_GET_REG_LIST with room for ``n`` ids, and the PEEK of n and the list."""

    n: int
    done: Arg
    memory: Arg

    def listed(self, answer: Answer) -> tuple[int, tuple[int, ...]]:
        """n after the call, and the whole memory of the list as ids."""
        data = answer[self.memory].data
        n, *ids = struct.unpack(f"<{len(data) // 8}Q", data)
        return n, tuple(ids)


class DeviceAttr(NamedTuple):
    """A struct kvm_device_attr that points to ``memory``, which holds ``data``; None if that is unknown."""

    address: Arg
    group: int
    attr: int
    memory: Arg | int
    data: bytes | None


class FilterRange(NamedTuple):
    """The struct kvm_device_attr of KVM_ARM_VM_SMCCC_FILTER for ``functions`` ids from ``base`` on."""

    address: Arg
    base: int
    functions: int
    action: int

    def __str__(self) -> str:
        return f"KVM_ARM_VM_SMCCC_FILTER base {self.base:#x}, {self.functions:#x} functions, action {self.action}"


class CapabilityRequest(NamedTuple):
    """A struct kvm_enable_cap."""

    address: Arg
    capability: int
    flags: int
    args: tuple[int, ...]


class GuestRun(NamedTuple):
    """A KVM_RUN: the calls that the guest makes, and the PEEKs of struct kvm_run and of the mailbox after it."""

    calls: Sequence[Call] = ()
    record: Arg | None = None
    mailbox: Arg | None = None
    immediate_exit: bool = False


Argument = Structure | VcpuFeatures | OneReg | DeviceAttr | FilterRange | CapabilityRequest
"""A structure in the memory of the program. Any number of ioctls may use it."""
VCPU_INIT_STEPS = ("KVM_ARM_PREFERRED_TARGET", "KVM_ARM_VCPU_INIT", f"KVM_SET_ONE_REG pc = {MEMORY_IPA:#x}")
_WITHOUT_A_GUEST = GuestRun(immediate_exit=True)


class GuestImage(NamedTuple):
    """The code of all guests. ``fd`` is a memfd of MEMORY_SIZE bytes that begins with it; None if there is no memfd."""

    code: bytes
    fd: int | None = None


class NewVm(NamedTuple):
    """The calls that create a VM with guest memory."""

    memory: Arg
    fd: Arg
    region: Arg


class NewVcpu(NamedTuple):
    """The calls that create a vCPU. ``init`` are the calls of VCPU_INIT_STEPS, or none if it is not initialised."""

    fd: Arg
    init: tuple[Arg, ...]
    run_address: Arg


class KvmProgram(Program):
    """A program of KVM calls."""

    def call(self, fd: int | Arg, request: int, argument: Argument) -> Arg:
        """ioctl(2) with a structure."""
        address = argument.address
        if address is not None:
            done = self.ioctl(fd, request, address)
        else:
            assert isinstance(argument, OneReg)
            done = self.ioctl_one_reg(fd, request, argument.register.id, argument.value)
        self.descriptions[done.index] = argument
        return done

    def structure(self, data: bytes, words: str = "", *values: object) -> Structure:
        """A structure that holds ``data``. The trace shows it as ``words.format(*values)``."""
        return Structure(self.scratch_bytes(data), words, values)

    # --- VMs and vCPUs --------------------------------------------------------

    def guest_memory(self, image: GuestImage) -> Arg:
        """mmap(2) of MEMORY_SIZE bytes that begin with the code of ``image``.

        The guests share the pages of the memfd until one is written. So an emulator translates the code only once. If
        the code is copied for each VM, the emulator discards its translation with each write to a page of an earlier
        guest.
        """
        if image.fd is not None:
            return self.mmap(MEMORY_SIZE, _READ_WRITE, mmap.MAP_PRIVATE, image.fd)
        memory = self.mmap(MEMORY_SIZE, _READ_WRITE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        self.poke(memory, image.code)
        return memory

    def memory_region(
        self, memory: Arg, *, slot: int = 0, flags: int = 0, ipa: int = MEMORY_IPA, size: int = MEMORY_SIZE
    ) -> Structure:
        """The argument of KVM_SET_USER_MEMORY_REGION for ``size`` bytes at ``memory``."""
        region = uapi.pack("kvm_userspace_memory_region", slot=slot, flags=flags, guest_phys_addr=ipa, memory_size=size)
        structure = self.structure(region, "slot {}, IPA {:#x}, {:#x} bytes", slot, ipa, size)
        self.poke_address(structure.address + _REGION_POINTER, memory)
        return structure

    def create_vm(self, kvm: int | Arg, vm_type: int) -> Arg:
        """KVM_CREATE_VM on /dev/kvm: the VM's fd. ``vm_type`` is its number of IPA bits, or 0 for 40."""
        return self.ioctl(kvm, uapi.KVM_CREATE_VM, vm_type)

    def add_memory(self, vm: int | Arg, region: Structure) -> Arg:
        """KVM_SET_USER_MEMORY_REGION."""
        return self.call(vm, uapi.KVM_SET_USER_MEMORY_REGION, region)

    def create_guest_vm(self, kvm: int | Arg, vm_type: int, image: GuestImage) -> NewVm:
        """A VM whose memory begins with the code of ``image``."""
        memory = self.guest_memory(image)
        vm = self.create_vm(kvm, vm_type)
        return NewVm(memory, vm, self.add_memory(vm, self.memory_region(memory)))

    def create_vcpu(self, vm: int | Arg, index: int) -> Arg:
        """KVM_CREATE_VCPU: the vCPU's fd."""
        return self.ioctl(vm, uapi.KVM_CREATE_VCPU, index)

    def create_guest_vcpu(self, vm: int | Arg, index: int, run_size: int, features: Iterable[int] | None) -> NewVcpu:
        """A vCPU at the guest's entry with its struct kvm_run mapped; not initialised if ``features`` is None."""
        vcpu = self.create_vcpu(vm, index)
        steps: tuple[Arg, ...] = ()
        if features is not None:
            target, init = self.prepare_init(vm, features)
            steps = (target, self.init_vcpu(vcpu, init), self.set_entry(vcpu))
        return NewVcpu(vcpu, steps, self.map_run(vcpu, run_size))

    def prepare_init(self, vm: int | Arg, features: Iterable[int]) -> tuple[Arg, VcpuFeatures]:
        """KVM_ARM_PREFERRED_TARGET, and a struct kvm_vcpu_init with these features (bit numbers)."""
        init = VcpuFeatures(self.scratch(_INIT_SIZE), tuple(sorted(features)))
        target = self.call(vm, uapi.KVM_ARM_PREFERRED_TARGET, Structure(init.address, ""))
        words = [0] * 7
        for number in init.features:
            words[number // 32] |= 1 << number % 32
        self.poke(init.address + 4, struct.pack("<7I", *words))
        return target, init

    def init_vcpu(self, vcpu: int | Arg, init: VcpuFeatures) -> Arg:
        """KVM_ARM_VCPU_INIT."""
        return self.call(vcpu, uapi.KVM_ARM_VCPU_INIT, init)

    def set_entry(self, vcpu: int | Arg) -> Arg:
        """KVM_SET_ONE_REG that sets the pc to the entry of the guest."""
        return self.set_reg(vcpu, self.one_reg(PC, MEMORY_IPA))

    def map_run(self, vcpu: int | Arg, run_size: int) -> Arg:
        """mmap(2) of a vCPU's struct kvm_run."""
        return self.mmap(run_size, _READ_WRITE, mmap.MAP_SHARED, vcpu)

    def close_vm(
        self, vm: int | Arg, memory: int | Arg, vcpus: Iterable[tuple[int | Arg, int | Arg]], run_size: int
    ) -> None:
        """Closes a VM and its vCPUs, and unmaps their memory. A vCPU is an fd and the address of its struct kvm_run."""
        for fd, run_address in vcpus:
            self.munmap(run_address, run_size)
            self.close(fd)
        self.close(vm)
        self.munmap(memory, MEMORY_SIZE)

    # --- registers ------------------------------------------------------------

    def one_reg(
        self,
        register: RegisterLike,
        value: int | bytes = 0,
        *,
        memory: int | Arg | None = None,
        in_scratch: bool = False,
    ) -> OneReg:
        """The argument of KVM_GET_ONE_REG and KVM_SET_ONE_REG for ``value``: a u64, or bytes.

        The struct points to ``memory`` if that is given. ``in_scratch``: the struct and the u64 are in the scratch
        memory, where the program can change them. Bytes always are.
        """
        if memory is None and isinstance(value, int) and not in_scratch:
            assert not value >> 64, f"{value:#x} is not a u64"
            return OneReg(register, value)
        data = struct.pack("<Q", value) if isinstance(value, int) else value
        if memory is not None:
            return self.one_reg_at(self.scratch(16), register, memory, data)
        at = self.scratch(16 + len(data))
        self.fill(at, struct.pack("<2Q", register.id, 0) + data, at + 16, 8)
        return _one_reg_in_memory(at, register, at + 16, data)

    def one_reg_at(self, at: Arg, register: RegisterLike, memory: int | Arg | None, data: bytes) -> OneReg:
        """As ``one_reg``, at the address ``at``. ``data`` follows the structure if ``memory`` is None."""
        if isinstance(memory, int):
            self.poke(at, struct.pack("<2Q", register.id, memory))
            return _one_reg_in_memory(at, register, memory, data)
        self.poke(at, struct.pack("<2Q", register.id, 0) + (data if memory is None else b""))
        memory = at + 16 if memory is None else memory
        self.poke_address(at + 8, memory)
        return _one_reg_in_memory(at, register, memory, data)

    def set_reg(self, vcpu: int | Arg, one_reg: OneReg) -> Arg:
        """KVM_SET_ONE_REG."""
        return self.call(vcpu, uapi.KVM_SET_ONE_REG, one_reg)

    def get_reg(self, vcpu: int | Arg, one_reg: OneReg) -> RegRead:
        """KVM_GET_ONE_REG. The result has the memory that it writes to."""
        register, value, address, memory, size = one_reg
        if address is None or memory is None:
            done = self.ioctl_one_reg(vcpu, uapi.KVM_GET_ONE_REG, register.id, value)
        else:
            done = self.ioctl_peek(vcpu, uapi.KVM_GET_ONE_REG, address, memory, size)
        read = RegRead(done, one_reg)
        self.descriptions[done.index] = read
        return read

    def reg_list(self, vcpu: int | Arg, n: int, *, room: int | None = None, fill: int = 0) -> RegList:
        """KVM_GET_REG_LIST with ``n``, and memory for ``room`` ids (default: n) that holds ``fill`` before the call."""
        room = n if room is None else room
        at = self.scratch(8 + 8 * room)
        self.fill(at, struct.pack("<Q", n) + (struct.pack("<Q", fill) * room if fill else b""))
        done = self.ioctl_peek(vcpu, uapi.KVM_GET_REG_LIST, at, at, 8 + 8 * room)
        listing = RegList(n, done, done)
        self.descriptions[done.index] = listing
        return listing

    # --- runs -----------------------------------------------------------------

    def run(self, vcpu: int | Arg, argument: int = 0, *, immediate_exit: bool = False, signalled: bool = False) -> Arg:
        """KVM_RUN, again after EINTR: KVM may return it to a thread without a pending signal, and VMMs call again.

        ``immediate_exit``: the field of struct kvm_run is set, so no guest instruction runs. ``signalled``: a signal is
        pending. In both cases EINTR is the answer.
        """
        call = self.ioctl if immediate_exit or signalled else self.ioctl_again
        done = call(vcpu, uapi.KVM_RUN, argument)
        if immediate_exit:
            self.descriptions[done.index] = _WITHOUT_A_GUEST
        return done

    def run_with_immediate_exit(self, vcpu: int | Arg, run_address: int | Arg) -> Arg:
        """Sets immediate_exit, calls KVM_RUN, and clears it."""
        self.set_immediate_exit(run_address, True)
        done = self.run(vcpu, immediate_exit=True)
        self.set_immediate_exit(run_address, False)
        return done

    def set_immediate_exit(self, run_address: int | Arg, on: bool) -> None:
        """Writes the field of struct kvm_run."""
        self.poke(run_address + _IMMEDIATE_EXIT, b"\1" if on else b"\0")

    # --- device attributes and capabilities -----------------------------------

    def device_attr(self, group: int, attr: int, data: bytes | int | Arg) -> DeviceAttr:
        """A struct kvm_device_attr that points to ``data`` (bytes), or to an address."""
        memory = self.scratch_bytes(data) if isinstance(data, bytes) else data
        at = self._attr(group, attr, memory)
        return DeviceAttr(at, group, attr, memory, data if isinstance(data, bytes) else None)

    def filter_range(self, base: int, count: int, action: int, *, pad: bytes = b"") -> FilterRange:
        """The argument of KVM_SET_DEVICE_ATTR for KVM_ARM_VM_SMCCC_FILTER."""
        data = uapi.pack("kvm_smccc_filter", base=base, nr_functions=count, action=action, pad=pad.ljust(15, b"\0"))
        at = self._attr(uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER, self.scratch_bytes(data))
        return FilterRange(at, base, count, action)

    def _attr(self, group: int, attr: int, memory: int | Arg) -> Arg:
        number, pointer = (memory, None) if isinstance(memory, int) else (0, memory)
        data = uapi.pack("kvm_device_attr", group=group, attr=attr, addr=number)
        at = self.scratch(len(data))
        self.fill(at, data, pointer, _ATTR_POINTER)
        return at

    def capability_request(
        self, capability: int, flags: int = 0, args: tuple[int, ...] = (0,) * 4
    ) -> CapabilityRequest:
        """A struct kvm_enable_cap."""
        data = uapi.pack("kvm_enable_cap", cap=capability, flags=flags, args=list(args))
        return CapabilityRequest(self.scratch_bytes(data), capability, flags, args)
