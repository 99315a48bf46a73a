# SPDX-License-Identifier: GPL-2.0-only
"""The faults that a ONE_REG access can have, and the errno of an access with several faults."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import Enum

from helpers.contract.registers import RFC_V3, Dialect, Register
from helpers.uapi import kvm as uapi


class Direction(Enum):
    GET = "GET"
    SET = "SET"


class FaultKind(Enum):
    """The part of an access that is wrong; two faults of one kind cannot be combined."""

    FD = "fd"
    VM_FD = "vm_fd"
    VCPU = "vcpu"
    STRUCT = "struct"
    ID_HIGH = "id_high"
    ID_SIZE = "id_size"
    ID_LOW = "id_low"
    POINTER = "pointer"
    VALUE = "value"
    LOCK = "lock"


class Place(Enum):
    """Where a pointer points."""

    NULL = "NULL"
    NO_ACCESS = "a page that may not be accessed"
    STRADDLING = "the end of a page whose neighbour may not be accessed"
    READ_ONLY = "a page that may not be written"
    KERNEL = "the kernel's half of the address space"


@dataclass(frozen=True)
class AccessFault:
    """One fault: ``bits`` replace the bits of ``mask`` in the id, or the ioctl is made on ``fd``."""

    name: str
    kind: FaultKind
    mask: int = 0
    bits: int = 0
    place: Place | None = None
    fd: str = ""


_ARCHITECTURES = (("NONE", 0x0), ("X86", 0x2), ("ARM", 0x4), ("S390", 0x5), ("MIPS", 0x7), ("RISCV", 0x8))
_SIZES = (("U8", 0), ("U16", 1), ("U32", 2), ("U128", 4), ("U256", 5), ("U2048", 8), ("RESERVED", 15))


def _pointers(kind: FaultKind, *places: Place) -> list[AccessFault]:
    return [AccessFault(f"{kind.value} at {place.value}", kind, place=place) for place in places]


def _faults() -> tuple[AccessFault, ...]:
    anywhere = (Place.NULL, Place.NO_ACCESS, Place.STRADDLING, Place.KERNEL)
    high, size, low = FaultKind.ID_HIGH, FaultKind.ID_SIZE, FaultKind.ID_LOW
    size_mask, size_shift = uapi.KVM_REG_SIZE_MASK, uapi.KVM_REG_SIZE_SHIFT
    return (
        AccessFault("/dev/kvm", FaultKind.FD, fd="kvm"),
        AccessFault("the VM's fd", FaultKind.VM_FD, fd="vm"),
        AccessFault("a vCPU that is not initialised", FaultKind.VCPU, fd="blank"),
        *_pointers(FaultKind.STRUCT, *anywhere),
        *(AccessFault(f"id of KVM_REG_{name}", high, 0xF << 60, arch << 60) for name, arch in _ARCHITECTURES),
        *(AccessFault(f"id with bit {bit}", high, 1 << bit, 1 << bit) for bit in (32, 47, 48, 51, 56, 59)),
        *(AccessFault(f"id of size {name}", size, size_mask, code << size_shift) for name, code in _SIZES),
        *(AccessFault(f"id with index {index:#x}", low, 0xFFFF, index) for index in (0x70, 0x100, 0x8000, 0xFFFF)),
        *(AccessFault(f"id with bit {bit}", low, 1 << bit, 1 << bit) for bit in (28, 31)),
        *_pointers(FaultKind.POINTER, *anywhere),
    )


_GET_FAULTS = (*_faults(), *_pointers(FaultKind.POINTER, Place.READ_ONLY))
_SET_FAULTS = (
    *_faults(),
    AccessFault("an unsupported bit", FaultKind.VALUE),
    AccessFault("a change after KVM_RUN", FaultKind.LOCK),
)

ORDER = {
    Direction.GET: {
        FaultKind.FD: errno.EINVAL,
        FaultKind.VCPU: errno.ENOEXEC,
        FaultKind.STRUCT: errno.EFAULT,
        FaultKind.VM_FD: errno.ENODEV,
        FaultKind.ID_HIGH: errno.EINVAL,
        FaultKind.ID_SIZE: errno.ENOENT,
        FaultKind.ID_LOW: errno.ENOENT,
        FaultKind.POINTER: errno.EFAULT,
    },
    Direction.SET: {
        FaultKind.FD: errno.EINVAL,
        FaultKind.VM_FD: errno.EINVAL,
        FaultKind.VCPU: errno.ENOEXEC,
        FaultKind.STRUCT: errno.EFAULT,
        FaultKind.ID_HIGH: errno.EINVAL,
        FaultKind.ID_SIZE: errno.ENOENT,
        FaultKind.POINTER: errno.EFAULT,
        FaultKind.ID_LOW: errno.ENOENT,
        FaultKind.VALUE: errno.EINVAL,
        FaultKind.LOCK: errno.EBUSY,
    },
}
"""The errno of the first fault that applies, in this order: arm.c:kvm_arch_vcpu_ioctl, guest.c, hypercalls.c.

On a VM's fd, KVM_GET_ONE_REG has the same number as KVM_ARM_SET_DEVICE_ADDR, whose struct kvm_arm_device_addr has the
same size. KVM reads the structure, and gives ENODEV because no id used here is a device's.
"""
_ONE_FD = (FaultKind.FD, FaultKind.VM_FD, FaultKind.VCPU)


def faults(direction: Direction, dialect: Dialect) -> tuple[AccessFault, ...]:
    """All single faults.

    The RFC's kernel (5.16) copies as many bytes as the id's size into an eight-byte variable on its stack. The contract
    does not cover that bug, so the suite makes no SET with a larger size in this dialect.
    """
    if direction is Direction.GET:
        return _GET_FAULTS
    small = [f for f in _SET_FAULTS if f.kind is not FaultKind.ID_SIZE or f.bits < uapi.KVM_REG_SIZE_U64]
    return tuple(small) if dialect is RFC_V3 else _SET_FAULTS


def combinations(kind: FaultKind, direction: Direction, dialect: Dialect) -> list[tuple[AccessFault, ...]]:
    """Each fault of ``kind`` alone, and combinations with faults of other kinds in which every fault occurs."""
    of_kind: dict[FaultKind, list[AccessFault]] = {}
    for fault in faults(direction, dialect):
        of_kind.setdefault(fault.kind, []).append(fault)
    own = of_kind.pop(kind)
    others = [group for other, group in of_kind.items() if _combine(kind, other, direction, dialect)]
    combined: list[tuple[AccessFault, ...]] = [(fault,) for fault in own]
    for turn in range(max(len(own), *map(len, others))):
        combined += [(own[turn % len(own)], group[turn % len(group)]) for group in others]
    return list(dict.fromkeys(combined))


def _combine(kind: FaultKind, other: FaultKind, direction: Direction, dialect: Dialect) -> bool:
    """Whether an access can have both faults, and it is defined which one decides the errno."""
    if kind in _ONE_FD and other in _ONE_FD:
        return False
    # The RFC's kernel reads the value before it checks the size, later ones after.
    unordered = {kind, other} == {FaultKind.ID_SIZE, FaultKind.POINTER}
    return not (unordered and dialect is RFC_V3 and direction is Direction.SET)


def expected_error(direction: Direction, wrong: tuple[AccessFault, ...]) -> int:
    """The errno of an access with these faults; 0 without any."""
    kinds = {fault.kind for fault in wrong}
    return next((error for kind, error in ORDER[direction].items() if kind in kinds), 0)


def faulty_id(register: Register, wrong: tuple[AccessFault, ...]) -> int:
    """The register's id with the faults applied."""
    number = register.id
    for fault in wrong:
        number = number & ~fault.mask | fault.bits
    return number
