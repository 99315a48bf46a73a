# SPDX-License-Identifier: GPL-2.0-only
"""The events of user space: ioctls of arm64 (Documentation/virt/kvm/api.rst) and other system calls.

Each function appends calls to a program. Their results are ignored: a refused call must not change anything either.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from helpers.contract.neighbours import PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Register
from helpers.executor.program import Arg
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from helpers.uapi.notation import RegisterId
from helpers.uapi.system_registers import sys_reg_id

FREE_IPA = 0x2000_0000
"""A guest physical address without memory."""
_CAPABILITIES = range(320)
"""More than any kernel defines."""
_ENABLED_ON_ARM64 = (168, 177, 182, 192, 205, 216, 223, 225, 228, 239)
"""The capabilities that KVM_ENABLE_CAP can enable for a VM on arm64: MANUAL_DIRTY_LOG_PROTECT2, ARM_NISV_TO_USER,
HALT_POLL, DIRTY_LOG_RING, ARM_MTE, ARM_SYSTEM_SUSPEND, DIRTY_LOG_RING_ACQ_REL and _WITH_BITMAP,
ARM_EAGER_SPLIT_CHUNK_SIZE, ARM_WRITABLE_IMP_ID_REGS."""
_SIGUSR1 = 10


@dataclass(frozen=True)
class EventPlace:
    """Where an event happens: fds and addresses of the executor's process, as numbers or references.

    ``other`` is another vCPU's fd, or the same one if the VM has only one. ``vcpu_id`` and ``other_id`` are their ids.
    """

    kvm: int | Arg
    vm_type: int
    vm: int | Arg
    vcpu: int | Arg
    vcpu_id: int
    other: int | Arg
    other_id: int
    memory: int | Arg
    run_address: int | Arg
    run_size: int
    features: tuple[int, ...]
    registers: tuple[Register, ...]
    values: dict[str, int]
    ids: tuple[int, ...]


Act = Callable[[KvmProgram, EventPlace], None]


@dataclass(frozen=True)
class NeutralEvent:
    """``does`` appends its calls to a program. ``source`` is where the calls are defined."""

    name: str
    source: str
    does: Act
    ioctls: tuple[str, ...] = ()
    """The ioctls that it covers, by name."""
    runs: bool = False
    """Whether it locks the registers."""
    restarts: bool = False
    """Whether the vCPUs must be initialised again before their guests make another call."""
    psci: int | None = None
    """The PSCI_VERSION that it sets on a VM with PSCI_0_2."""
    blocks: bool = False
    """Whether KVM_RUN returns only for a signal."""
    interrupt: bool = False
    """Whether it needs an interrupt that stays pending (suites/neighbours/interrupt.py)."""

    def returns(self, *, late_vcpus: bool) -> bool:
        """Whether KVM_RUN returns on this kernel. Protected KVM, without ``late_vcpus``, may lose the interrupt."""
        return late_vcpus or not self.interrupt


def check_extension(p: KvmProgram, at: EventPlace) -> None:
    for fd in (at.vm, at.kvm):
        for number in _CAPABILITIES:
            p.ioctl(fd, uapi.KVM_CHECK_EXTENSION, number)


def enable_every_cap(p: KvmProgram, vm: int | Arg, argument: int) -> None:
    """Every capability of a VM."""
    for number in _CAPABILITIES:
        p.call(vm, uapi.KVM_ENABLE_CAP, p.capability_request(number, 0, (argument, 0, 0, 0)))


def enable_caps(argument: int, *others: int) -> Act:
    """Every capability. Then those that arm64 can enable again, also with ``others``, first with flags (refused)."""

    def does(p: KvmProgram, at: EventPlace) -> None:
        enable_every_cap(p, at.vm, argument)
        for again, number, flags in product((argument, *others), _ENABLED_ON_ARM64, (1, 0)):
            p.call(at.vm, uapi.KVM_ENABLE_CAP, p.capability_request(number, flags, (again, 0, 0, 0)))

    return does


def vcpu_enable_caps(p: KvmProgram, at: EventPlace) -> None:
    for number in _CAPABILITIES:
        p.call(at.vcpu, uapi.KVM_ENABLE_CAP, p.capability_request(number))


def attributes(on: str, groups: int, attrs: int) -> Act:
    """HAS, GET, and SET with a null pointer, of the first attributes of the first groups."""

    def does(p: KvmProgram, at: EventPlace) -> None:
        fd, memory = (at.vm if on == "vm" else at.vcpu), p.scratch(64)
        for group in range(groups):
            for attr in range(attrs):
                p.call(fd, uapi.KVM_HAS_DEVICE_ATTR, p.device_attr(group, attr, memory))
                p.call(fd, uapi.KVM_GET_DEVICE_ATTR, p.device_attr(group, attr, memory))
                p.call(fd, uapi.KVM_SET_DEVICE_ATTR, p.device_attr(group, attr, 0))

    return does


def struct_on(on: str, request: int, data: bytes, *more: bytes) -> Act:
    """One ioctl with each of these structures."""

    def does(p: KvmProgram, at: EventPlace) -> None:
        for each in (data, *more):
            p.call(at.vm if on == "vm" else at.vcpu, request, p.structure(each))

    return does


def number_on(on: str, request: int, *arguments: int) -> Act:
    def does(p: KvmProgram, at: EventPlace) -> None:
        for each in arguments:
            p.ioctl({"vm": at.vm, "vcpu": at.vcpu, "kvm": at.kvm}[on], request, each)

    return does


def interrupt_line(p: KvmProgram, at: EventPlace) -> None:
    for level in (1, 0):
        line = uapi.pack("kvm_irq_level", irq=uapi.KVM_ARM_IRQ_VCPU0_IRQ, level=level)
        p.call(at.vm, uapi.KVM_IRQ_LINE, p.structure(line))


def ioeventfd(p: KvmProgram, at: EventPlace, fd: Arg, *, assign: bool) -> None:
    """KVM_IOEVENTFD: ``fd`` for stores of 4 bytes to FREE_IPA."""
    flags = 0 if assign else 4
    io = p.structure(uapi.pack("kvm_ioeventfd", addr=FREE_IPA, len=4, flags=flags))
    p.poke_address(io.address + uapi.offset("kvm_ioeventfd", "fd"), fd)
    p.poke(io.address + uapi.offset("kvm_ioeventfd", "flags"), struct.pack("<I", flags))
    p.call(at.vm, uapi.KVM_IOEVENTFD, io)


def eventfds(p: KvmProgram, at: EventPlace) -> None:
    """Adds and removes an ioeventfd and an irqfd."""
    fd = p.syscall(syscalls.EVENTFD2, 0, os.O_CLOEXEC)
    for assign in (True, False):
        ioeventfd(p, at, fd, assign=assign)
    irq = p.structure(uapi.pack("kvm_irqfd", gsi=32))
    for flags in (0, 1):
        p.poke_address(irq.address, fd)
        p.poke(irq.address + 4, struct.pack("<2I", 32, flags))
        p.call(at.vm, uapi.KVM_IRQFD, irq)
    p.close(fd)


def devices(p: KvmProgram, at: EventPlace) -> None:
    """Tests whether each type of device exists, and creates none."""
    for kind in range(16):
        test = uapi.pack("kvm_create_device", type=kind, flags=uapi.KVM_CREATE_DEVICE_TEST)
        p.call(at.vm, uapi.KVM_CREATE_DEVICE, p.structure(test))


def coalesced_mmio(p: KvmProgram, at: EventPlace) -> None:
    zone = uapi.pack("kvm_coalesced_mmio_zone", addr=FREE_IPA, size=0x1000)
    for request in (uapi.KVM_REGISTER_COALESCED_MMIO, uapi.KVM_UNREGISTER_COALESCED_MMIO):
        p.call(at.vm, request, p.structure(zone))


def unknown_ioctls(p: KvmProgram, at: EventPlace) -> None:
    """Numbers that no ioctl of a VM or a vCPU has."""
    for fd in (at.vm, at.vcpu):
        for number in (0x10, 0x30, 0x50, 0x70, 0x8F, 0x99, 0xAB, 0xAC, 0xEF, 0xFF):
            p.ioctl(fd, uapi.KVMIO << 8 | number)


def stats(p: KvmProgram, at: EventPlace) -> None:
    for owner in (at.vm, at.vcpu):
        fd = p.ioctl(owner, uapi.KVM_GET_STATS_FD)
        p.read(fd, 4096)
        p.close(fd)


def same_vcpu(p: KvmProgram, at: EventPlace) -> None:
    """KVM_CREATE_VCPU with an id that exists and with one that is too large."""
    for number in (at.other_id, 0xFFFF_FFFF):
        p.create_vcpu(at.vm, number)


def blank_vcpu(p: KvmProgram, at: EventPlace) -> None:
    """A vCPU that stays uninitialised, gets a stolen-time address, and whose fd is closed."""
    vcpu = p.create_vcpu(at.vm, 7)
    area = p.device_attr(uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA, struct.pack("<Q", PV_TIME_IPA))
    p.call(vcpu, uapi.KVM_SET_DEVICE_ATTR, area)
    p.close(vcpu)


def init(*more: int, other: bool = False) -> Act:
    """KVM_ARM_VCPU_INIT again with more features, of this vCPU or another one."""

    def does(p: KvmProgram, at: EventPlace) -> None:
        target = at.other if other else at.vcpu
        _, init = p.prepare_init(at.vm, (*at.features, *more))
        p.init_vcpu(target, init)
        p.set_entry(target)

    return does


def mp_states(*states: int) -> Act:
    def does(p: KvmProgram, at: EventPlace) -> None:
        for state in states:
            p.call(at.vcpu, uapi.KVM_SET_MP_STATE, p.structure(uapi.pack("kvm_mp_state", mp_state=state)))
            p.ioctl(at.vcpu, uapi.KVM_GET_MP_STATE, p.scratch(16))

    return does


def signal_mask(p: KvmProgram, at: EventPlace) -> None:
    p.call(at.vcpu, uapi.KVM_SET_SIGNAL_MASK, p.structure(struct.pack("<IQ", 8, 0)))
    p.ioctl(at.vcpu, uapi.KVM_SET_SIGNAL_MASK, 0)


def same_vcpu_events(p: KvmProgram, at: EventPlace) -> None:
    memory = p.scratch(uapi.ffi.sizeof("struct kvm_vcpu_events"))
    for request in (uapi.KVM_GET_VCPU_EVENTS, uapi.KVM_SET_VCPU_EVENTS):
        p.ioctl(at.vcpu, request, memory)


def same_registers(p: KvmProgram, at: EventPlace) -> None:
    """Reads every other register that is listed, and writes back what it read."""
    bitmaps = {register.id for register in at.registers}
    for number in (each for each in at.ids if each not in bitmaps):
        size = 1 << ((number & uapi.KVM_REG_SIZE_MASK) >> uapi.KVM_REG_SIZE_SHIFT)
        one = p.one_reg(RegisterId(f"{number:#x}", number), bytes(size))
        p.get_reg(at.vcpu, one)
        p.set_reg(at.vcpu, one)


def identification(p: KvmProgram, at: EventPlace) -> None:
    """Writes 0 to registers that identify the processor, and writes back what was there: most kernels refuse both."""
    for name, op1, op2 in (("MIDR_EL1", 0, 0), ("REVIDR_EL1", 0, 6), ("AIDR_EL1", 1, 7)):
        register = RegisterId(name, sys_reg_id(3, op1, 0, 0, op2))
        held = p.one_reg(register, bytes(8))
        p.get_reg(at.vcpu, held)
        for one in (p.one_reg(register, 0), held):
            p.set_reg(at.vcpu, one)


def refused_writes(p: KvmProgram, at: EventPlace) -> None:
    """Writes an unsupported bit twenty times to each register, and then each unsupported bit."""
    for register in at.registers:
        each = [1 << number for number in range(64) if not register.mask >> number & 1]
        for unsupported in (*[register.beyond] * 20, *each):
            p.set_reg(at.vcpu, p.one_reg(register, at.values[register.name] | unsupported))


def same_values(p: KvmProgram, at: EventPlace) -> None:
    """Writes the current value forty times to each register, alternating with reads."""
    for register in at.registers:
        one = p.one_reg(register, at.values[register.name])
        for _ in range(40):
            p.set_reg(at.vcpu, one)
            p.get_reg(at.other, p.one_reg(register))


def psci_version(*versions: int) -> Act:
    def does(p: KvmProgram, at: EventPlace) -> None:
        for version in versions:
            p.set_reg(at.vcpu, p.one_reg(PSCI_VERSION, version))

    return does


def workarounds(p: KvmProgram, at: EventPlace) -> None:
    for each in WORKAROUND_REGISTERS:
        # FW_REG(3) is a bitmap register in the RFC.
        if each.register.id not in {register.id for register in at.registers}:
            for value in (0, 1, 2, 3, 0x12, 1 << 63):
                p.set_reg(at.vcpu, p.one_reg(each.register, value))


def fds(p: KvmProgram, at: EventPlace) -> None:
    """Duplicates and closes the fds, and makes system calls that KVM does not implement for them."""
    for fd in (at.vm, at.vcpu, at.kvm):
        copy = p.syscall(syscalls.DUP, fd)
        p.syscall(syscalls.FCNTL, copy, 1)
        p.syscall(syscalls.LSEEK, copy, 0, os.SEEK_SET)
        p.read(copy, 8)
        p.write(copy, bytes(8))
        p.close(copy)


def run_mapping(p: KvmProgram, at: EventPlace) -> None:
    """Maps struct kvm_run a second time, writes to it and unmaps it."""
    run = p.map_run(at.vcpu, at.run_size)
    p.set_immediate_exit(run, True)
    p.set_immediate_exit(run, False)
    p.munmap(run, at.run_size)


def another_vm(p: KvmProgram, at: EventPlace) -> None:
    """Opens /dev/kvm again; makes a VM there, empties its registers, runs it and closes it."""
    kvm = p.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    vm = p.create_vm(kvm, at.vm_type)
    vcpu = p.create_vcpu(vm, 0)
    _, init = p.prepare_init(vm, (uapi.KVM_ARM_VCPU_PSCI_0_2,))
    p.init_vcpu(vcpu, init)
    for register in at.registers:
        p.set_reg(vcpu, p.one_reg(register, 0))
    run = p.map_run(vcpu, at.run_size)
    p.run_with_immediate_exit(vcpu, run)
    p.munmap(run, at.run_size)
    for fd in (vcpu, vm, kvm):
        p.close(fd)


def signal(p: KvmProgram, at: EventPlace) -> None:
    """Sends the thread a blocked signal, makes a refused KVM_RUN, and takes the signal."""
    blocked, before, at_once = p.scratch_bytes(struct.pack("<Q", 1 << _SIGUSR1 - 1)), p.scratch(8), p.scratch(16)
    p.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_BLOCK, blocked, before, 8)
    p.syscall(syscalls.TGKILL, p.syscall(syscalls.GETPID), p.syscall(syscalls.GETTID), _SIGUSR1)
    p.run(at.vcpu, 1)
    p.syscall(syscalls.RT_SIGTIMEDWAIT, blocked, 0, at_once, 8)
    p.syscall(syscalls.RT_SIGPROCMASK, syscalls.SIG_SETMASK, before, 0, 8)
