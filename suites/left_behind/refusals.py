# SPDX-License-Identifier: GPL-2.0-only
"""Calls that KVM refuses, of every kind. Their structures are in memory, between bytes that must not change."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from helpers.contract.neighbours import PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Register
from helpers.executor.program import Arg
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi

CANARY = bytes(range(0xA0, 0xC0))
_SIZE_U32 = 2 << uapi.KVM_REG_SIZE_SHIFT
_UNKNOWN_INDEX = 0x70
_NOT_ARM64 = 0x3 << 60
_LARGE = 1 << 63
_NUMBER = 8
_MARK = 0xA5A5_A5A5_A5A5_A5A5


@dataclass(frozen=True)
class RefusalPlace:
    """The fds of the VM: ``vcpu`` and ``other`` are initialised, ``blank`` is not. ``values``: bitmaps by name.

    ``spare`` is not initialised either. Linux before 6.4 accepts its initialisation with other features.
    """

    kvm: int | Arg
    vm: int | Arg
    vcpu: int | Arg
    other: int | Arg
    blank: int | Arg
    spare: int | Arg
    registers: tuple[Register, ...]
    values: dict[str, int]
    locked: bool


@dataclass(frozen=True)
class RefusedCall:
    """An ioctl. ``block`` is its structure with the bytes around it."""

    name: str
    fd: int | Arg
    request: int
    argument: int | Arg
    block: Arg | None = None
    size: int = 0
    counts: bool = False
    """Whether it is KVM_GET_REG_LIST, which writes n, the first ``_NUMBER`` bytes, with E2BIG."""

    def make(self, p: KvmProgram) -> Arg:
        """Appends the call. It can be made any number of times."""
        return p.ioctl(self.fd, self.request, self.argument)

    def look(self, p: KvmProgram) -> Arg | None:
        """A PEEK of the structure and the bytes around it."""
        return None if self.block is None else p.peek(self.block, self.size)

    def changed(self, before: bytes, after: bytes) -> list[int]:
        """The bytes that the call wrote and must not write, as offsets from its argument."""
        offsets = (at - len(CANARY) for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)
        return [at for at in offsets if not (self.counts and 0 <= at < _NUMBER)]


class _Calls:
    """Builds the calls in a program."""

    def __init__(self, p: KvmProgram, at: RefusalPlace) -> None:
        self._p, self._at = p, at
        self.calls: list[RefusedCall] = []

    def number(self, name: str, fd: int | Arg, request: int, argument: int = 0) -> None:
        """An ioctl whose argument is a number or a wrong pointer."""
        self.calls.append(RefusedCall(name, fd, request, argument))

    def memory(self, name: str, fd: int | Arg, request: int, data: bytes, *, counts: bool = False) -> None:
        """An ioctl with a structure."""
        block = self._p.scratch_bytes(CANARY + data + CANARY)
        size = len(data) + 2 * len(CANARY)
        self.calls.append(RefusedCall(name, fd, request, block + len(CANARY), block, size, counts))

    def register(self, name: str, fd: int | Arg, number: int, value: int | None = None) -> None:
        """KVM_SET_ONE_REG of a value, or KVM_GET_ONE_REG."""
        request = uapi.KVM_GET_ONE_REG if value is None else uapi.KVM_SET_ONE_REG
        data = struct.pack("<2Q", number, 0)
        at = self._p.scratch_bytes(
            CANARY + data + CANARY + struct.pack("<Q", _MARK if value is None else value) + CANARY
        )
        argument = at + len(CANARY)
        self._p.poke_address(argument + 8, argument + (len(data) + len(CANARY)))
        size = 3 * len(CANARY) + len(data) + 8
        self.calls.append(RefusedCall(name, fd, request, argument, at, size))

    def attribute(self, name: str, fd: int | Arg, request: int, group: int, attr: int, data: bytes = CANARY) -> None:
        """A device attribute. Its struct kvm_device_attr is followed by ``data``."""
        head = uapi.pack("kvm_device_attr", group=group, attr=attr)
        at = self._p.scratch_bytes(CANARY + head + CANARY + data + CANARY)
        argument = at + len(CANARY)
        pointer = uapi.offset("kvm_device_attr", "addr")
        self._p.poke_address(argument + pointer, argument + (len(head) + len(CANARY)))
        size = 3 * len(CANARY) + len(head) + len(data)
        self.calls.append(RefusedCall(name, fd, request, argument, at, size))


def refused_calls(p: KvmProgram, at: RefusalPlace) -> list[RefusedCall]:
    """Calls of every kind. A kernel may accept some of them."""
    calls = _Calls(p, at)
    for build in (_bitmaps, _one_reg, _lists, _attributes, _vcpu_calls, _vm_calls):
        build(calls, at)
    return calls.calls


def refused_bitmaps(p: KvmProgram, at: RefusalPlace) -> list[RefusedCall]:
    """The writes to bitmap registers."""
    calls = _Calls(p, at)
    _bitmaps(calls, at)
    return calls.calls


def _bitmaps(calls: _Calls, at: RefusalPlace) -> None:
    for register in at.registers:
        held = at.values[register.name]
        calls.register(f"{register.name} with an unsupported bit", at.vcpu, register.id, held | register.beyond)
        calls.register(f"{register.name} with every bit", at.other, register.id, (1 << 64) - 1)
        if at.locked and register.mask:
            calls.register(f"a change of {register.name} after KVM_RUN", at.vcpu, register.id, held ^ register.mask)


def _one_reg(calls: _Calls, at: RefusalPlace) -> None:
    known = at.registers[0].id
    ids = (
        ("an unknown index", known + _UNKNOWN_INDEX),
        ("a register of another size", known & ~uapi.KVM_REG_SIZE_MASK | _SIZE_U32),
        ("a register of another architecture", known ^ _NOT_ARM64),
    )
    for what, number in ids:
        calls.register(f"KVM_GET_ONE_REG of {what}", at.vcpu, number)
        calls.register(f"KVM_SET_ONE_REG of {what}", at.vcpu, number, 0)
    for where, fd in (("a vCPU that is not initialised", at.blank), ("a VM", at.vm), ("/dev/kvm", at.kvm)):
        calls.register(f"KVM_GET_ONE_REG on {where}", fd, known)
        calls.register(f"KVM_SET_ONE_REG on {where}", fd, known, 0)
    for request, what in ((uapi.KVM_GET_ONE_REG, "GET"), (uapi.KVM_SET_ONE_REG, "SET")):
        calls.number(f"KVM_{what}_ONE_REG at NULL", at.vcpu, request)
        calls.memory(f"KVM_{what}_ONE_REG into NULL", at.vcpu, request, struct.pack("<2Q", known, 0))
    calls.register("PSCI_VERSION = 0x20000", at.vcpu, PSCI_VERSION.id, 0x20000)
    for each in WORKAROUND_REGISTERS:
        if each.register.id not in {register.id for register in at.registers}:
            calls.register(f"{each.register.name} with bit 63", at.vcpu, each.register.id, _LARGE)


def _lists(calls: _Calls, at: RefusalPlace) -> None:
    for where, fd in (("a vCPU", at.vcpu), ("a vCPU that is not initialised", at.blank), ("a VM", at.vm)):
        data = struct.pack("<Q", 1) + CANARY
        calls.memory(f"KVM_GET_REG_LIST with n = 1 on {where}", fd, uapi.KVM_GET_REG_LIST, data, counts=fd == at.vcpu)
    calls.number("KVM_GET_REG_LIST at NULL", at.vcpu, uapi.KVM_GET_REG_LIST)


def _attributes(calls: _Calls, at: RefusalPlace) -> None:
    requests = (("SET", uapi.KVM_SET_DEVICE_ATTR), ("GET", uapi.KVM_GET_DEVICE_ATTR), ("HAS", uapi.KVM_HAS_DEVICE_ATTR))
    for what, request in requests:
        for where, fd in (("a vCPU", at.vcpu), ("a VM", at.vm)):
            calls.attribute(f"KVM_{what}_DEVICE_ATTR of group 99 on {where}", fd, request, 99, 99)
            calls.number(f"KVM_{what}_DEVICE_ATTR at NULL on {where}", fd, request)
    group, attr = uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER
    filters = (
        ("action 9", uapi.pack("kvm_smccc_filter", base=0x84000050, nr_functions=1, action=9)),
        ("a reserved range", uapi.pack("kvm_smccc_filter", base=0x80000000, nr_functions=1, action=1)),
        ("padding", uapi.pack("kvm_smccc_filter", base=0x84000050, nr_functions=1, action=1, pad=b"\1" * 15)),
        ("an overflow", uapi.pack("kvm_smccc_filter", base=0xFFFFFFFF, nr_functions=9, action=1)),
    )
    for what, data in filters:
        calls.attribute(f"a filter with {what}", at.vm, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)
    calls.attribute("KVM_GET_DEVICE_ATTR of the filter", at.vm, uapi.KVM_GET_DEVICE_ATTR, group, attr)
    group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
    for value in (0x3F, _LARGE):
        data = struct.pack("<Q", value)
        calls.attribute(f"a stolen-time address {value:#x}", at.vcpu, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)


def _vcpu_calls(calls: _Calls, at: RefusalPlace) -> None:
    for argument in (1, _LARGE):
        calls.number(f"KVM_RUN with argument {argument:#x}", at.vcpu, uapi.KVM_RUN, argument)
    calls.number("KVM_RUN of a vCPU that is not initialised", at.blank, uapi.KVM_RUN)
    init = struct.pack("<8I", 0xFFFF, 1 << uapi.KVM_ARM_VCPU_PSCI_0_2, *(0,) * 6)
    features = struct.pack("<8I", 5, 1 << uapi.KVM_ARM_VCPU_PSCI_0_2, *(0,) * 5, 1 << 31)
    for what, data in (("an unknown target", init), ("an unknown feature", features)):
        calls.memory(f"KVM_ARM_VCPU_INIT with {what}", at.vcpu, uapi.KVM_ARM_VCPU_INIT, data)
    calls.number("KVM_ARM_VCPU_INIT at NULL", at.vcpu, uapi.KVM_ARM_VCPU_INIT)
    none = struct.pack("<8I", 5, *(0,) * 7)
    calls.memory("a first KVM_ARM_VCPU_INIT with other features", at.spare, uapi.KVM_ARM_VCPU_INIT, none)
    again = struct.pack("<i", uapi.KVM_ARM_VCPU_SVE)
    calls.memory("KVM_ARM_VCPU_FINALIZE of SVE again", at.vcpu, uapi.KVM_ARM_VCPU_FINALIZE, again)
    calls.memory("KVM_ARM_VCPU_FINALIZE of no feature", at.vcpu, uapi.KVM_ARM_VCPU_FINALIZE, struct.pack("<i", 77))
    calls.memory("KVM_SET_MP_STATE of 99", at.vcpu, uapi.KVM_SET_MP_STATE, struct.pack("<I", 99))
    calls.memory("KVM_SET_SIGNAL_MASK of 3 bytes", at.vcpu, uapi.KVM_SET_SIGNAL_MASK, struct.pack("<IQ", 3, 0))
    debug = uapi.pack("kvm_guest_debug", control=1 << 31)
    calls.memory("KVM_SET_GUEST_DEBUG of an unknown flag", at.vcpu, uapi.KVM_SET_GUEST_DEBUG, debug)
    calls.memory("KVM_ENABLE_CAP on a vCPU", at.vcpu, uapi.KVM_ENABLE_CAP, uapi.pack("kvm_enable_cap", cap=0xFFFF))
    calls.number("an unknown ioctl of a vCPU", at.vcpu, uapi.KVMIO << 8 | 0xFF)


def _vm_calls(calls: _Calls, at: RefusalPlace) -> None:
    for number in (uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP, 0xFFFF):
        data = uapi.pack("kvm_enable_cap", cap=number, args=[3, 0, 0, 0])
        calls.memory(f"KVM_ENABLE_CAP({number})", at.vm, uapi.KVM_ENABLE_CAP, data)
    flags = uapi.pack("kvm_enable_cap", cap=uapi.KVM_CAP_ARM_SYSTEM_SUSPEND, flags=1)
    calls.memory("KVM_ENABLE_CAP with flags", at.vm, uapi.KVM_ENABLE_CAP, flags)
    for number in (0, 1):
        calls.number(f"KVM_CREATE_VCPU of id {number}, which exists", at.vm, uapi.KVM_CREATE_VCPU, number)
    calls.number("KVM_CREATE_VCPU of a large id", at.vm, uapi.KVM_CREATE_VCPU, 0xFFFF_FFFF)
    calls.number("KVM_CREATE_VM of an unknown type", at.kvm, uapi.KVM_CREATE_VM, _LARGE)
    calls.memory("KVM_CREATE_DEVICE", at.vm, uapi.KVM_CREATE_DEVICE, uapi.pack("kvm_create_device", type=0xFFFF))
    for kind in (uapi.KVM_DEV_TYPE_ARM_VGIC_V2, uapi.KVM_DEV_TYPE_ARM_VGIC_V3) if at.locked else ():
        device = uapi.pack("kvm_create_device", type=kind)
        calls.memory(f"KVM_CREATE_DEVICE {kind} after KVM_RUN", at.vm, uapi.KVM_CREATE_DEVICE, device)
    region = uapi.pack("kvm_userspace_memory_region", slot=1, guest_phys_addr=1, memory_size=0x10000)
    calls.memory("KVM_SET_USER_MEMORY_REGION", at.vm, uapi.KVM_SET_USER_MEMORY_REGION, region)
    region = uapi.pack("kvm_userspace_memory_region", slot=2, guest_phys_addr=1 << 52, memory_size=0x10000)
    calls.memory("KVM_SET_USER_MEMORY_REGION above the VM's addresses", at.vm, uapi.KVM_SET_USER_MEMORY_REGION, region)
    calls.memory("KVM_GET_DIRTY_LOG", at.vm, uapi.KVM_GET_DIRTY_LOG, uapi.pack("kvm_dirty_log", slot=0xFFFF))
    calls.memory("KVM_IRQ_LINE", at.vm, uapi.KVM_IRQ_LINE, uapi.pack("kvm_irq_level", irq=0xFFFFFFFF, level=1))
    calls.memory("KVM_IRQFD", at.vm, uapi.KVM_IRQFD, uapi.pack("kvm_irqfd", fd=0xFFFFFFFF, gsi=32))
    calls.memory("KVM_IOEVENTFD", at.vm, uapi.KVM_IOEVENTFD, uapi.pack("kvm_ioeventfd", len=3, fd=-1))
    calls.memory("KVM_SIGNAL_MSI", at.vm, uapi.KVM_SIGNAL_MSI, uapi.pack("kvm_msi", flags=0xFFFFFFFF))
    calls.memory("KVM_ARM_SET_COUNTER_OFFSET", at.vm, uapi.KVM_ARM_SET_COUNTER_OFFSET, struct.pack("<2Q", 0, 1))
    calls.memory("KVM_ARM_SET_DEVICE_ADDR", at.vm, uapi.KVM_ARM_SET_DEVICE_ADDR, b"\xff" * 16)
    calls.number("an unknown ioctl of a VM", at.vm, uapi.KVMIO << 8 | 0xFF)
    calls.number("an unknown ioctl of /dev/kvm", at.kvm, uapi.KVMIO << 8 | 0xFF)
