# SPDX-License-Identifier: GPL-2.0-only
"""The events of a VM's memory: slots, dirty logging, guest_memfd, and system calls on the guest's pages."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable

from helpers.guest_layout import MEMORY_IPA, MEMORY_SIZE
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.events.events import FREE_IPA, EventPlace

_PAGE = 0x1_0000
_PAGE_SIZES = (0x1000, 0x4000, 0x1_0000)
"""Of arm64 hosts."""


def more_memory(p: KvmProgram, at: EventPlace) -> None:
    """Adds slot 1 and deletes it."""
    memory = p.mmap(_PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    for size in (_PAGE, 0):
        p.add_memory(at.vm, p.memory_region(memory, slot=1, ipa=FREE_IPA, size=size))
    p.munmap(memory, _PAGE)


def with_read_only_slot(p: KvmProgram, at: EventPlace, use: Callable[[], None]) -> None:
    """Adds read-only memory at FREE_IPA, calls ``use``, and deletes it."""
    memory = p.mmap(_PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    p.add_memory(at.vm, p.memory_region(memory, slot=1, flags=uapi.KVM_MEM_READONLY, ipa=FREE_IPA, size=_PAGE))
    use()
    p.add_memory(at.vm, p.memory_region(memory, slot=1, ipa=FREE_IPA, size=0))
    p.munmap(memory, _PAGE)


def log_dirty_pages(p: KvmProgram, at: EventPlace, write: Callable[[], None]) -> None:
    """Turns dirty logging of the guest's memory on, and off at the end. Calls ``write`` twice.

    After the first time it reads the log, which clears it, and after the second time it clears the bits of all pages.
    """
    set_logging(p, at, uapi.KVM_MEM_LOG_DIRTY_PAGES)
    write()
    log = p.structure(uapi.pack("kvm_dirty_log"))
    p.poke_address(log.address + uapi.offset("kvm_dirty_log", "padding2"), p.scratch(256))
    p.call(at.vm, uapi.KVM_GET_DIRTY_LOG, log)
    write()
    every_page = p.scratch_bytes(b"\xff" * 256)
    # KVM refuses another number of pages than the slot's.
    for size in _PAGE_SIZES:
        clear = p.structure(uapi.pack("kvm_clear_dirty_log", num_pages=MEMORY_SIZE // size))
        p.poke_address(clear.address + uapi.offset("kvm_clear_dirty_log", "padding2"), every_page)
        p.call(at.vm, uapi.KVM_CLEAR_DIRTY_LOG, clear)
    set_logging(p, at, 0)
    p.call(at.vm, uapi.KVM_GET_DIRTY_LOG, log)


def set_logging(p: KvmProgram, at: EventPlace, flags: int) -> None:
    """Sets the flags of the guest's memory slot."""
    region = uapi.pack("kvm_userspace_memory_region", flags=flags, guest_phys_addr=MEMORY_IPA, memory_size=MEMORY_SIZE)
    slot = p.structure(region)
    p.poke_address(slot.address + uapi.offset("kvm_userspace_memory_region", "userspace_addr"), at.memory)
    p.call(at.vm, uapi.KVM_SET_USER_MEMORY_REGION, slot)


def dirty_log(p: KvmProgram, at: EventPlace) -> None:
    """Dirty logging of memory that nobody writes to."""
    log_dirty_pages(p, at, lambda: None)


def memory_slot_2(p: KvmProgram, at: EventPlace) -> None:
    """Deletes a slot that does not exist."""
    p.call(at.vm, uapi.KVM_SET_USER_MEMORY_REGION2, p.structure(struct.pack("<I", 5).ljust(160, b"\0")))


def guest_memfd(p: KvmProgram, at: EventPlace) -> None:
    """A guest_memfd that belongs to the VM, closed at once."""
    p.close(p.call(at.vm, uapi.KVM_CREATE_GUEST_MEMFD, p.structure(struct.pack("<Q", _PAGE).ljust(64, b"\0"))))


def memory_advice(p: KvmProgram, at: EventPlace) -> None:
    """Makes the guest's memory read-only and writable again, and gives advice about its use."""
    for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
        p.syscall(syscalls.MPROTECT, at.memory, MEMORY_SIZE, protection)
    for advice in (mmap.MADV_SEQUENTIAL, mmap.MADV_NORMAL, mmap.MADV_WILLNEED):
        p.syscall(syscalls.MADVISE, at.memory, MEMORY_SIZE, advice)
