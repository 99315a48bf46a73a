# SPDX-License-Identifier: GPL-2.0-only
"""Lets the kernel use the addresses of closed VMs again.

With VHE, most kernels allocate struct kvm with vmalloc (arch/arm64/kvm/arm.c, kvm_arch_alloc_vm). After vfree, its
address is unused until lazy_max_pages() pages have accumulated. Then a work item frees all of them (mm/vmalloc.c).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field

from helpers.executor.program import Answer, Arg
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from helpers.placement import parse_core_list
from helpers.uapi import kvm as uapi
from suites.support.threads import sleep

_ONLINE, _AUXV = "/sys/devices/system/cpu/online", "/proc/self/auxv"
_AT_PAGESZ = 6
_LAZY_BYTES = 32 << 20
"""lazy_max_pages() is this size for each bit of the number of processors."""
_SLOT_PAGES = 1 << 25
_PAGES_PER_BYTE = 4
"""A slot with KVM_MEM_LOG_DIRTY_PAGES has two bits for each page, allocated with vmalloc (virt/kvm/kvm_main.c,
kvm_alloc_dirty_bitmap): 8 MiB for _SLOT_PAGES. The pages themselves need not exist.
"""
_USER_ADDRESS = 1 << 16
"""The address of the slot's memory. KVM only checks that user space may use the range (access_ok)."""
_SETTLE_NS = 20_000_000
"""The time for the work item that frees the addresses (drain_vmap_work)."""


@dataclass
class AddressPurge:
    """Creates and deletes a memory slot with a dirty bitmap, until vmalloc frees all addresses that it has kept back.

    ``slot`` is the slot's size in bytes, ``times`` how often it is created. ``calls`` are the ioctls that create it.
    """

    slot: int
    times: int
    calls: list[Arg] = field(default_factory=list)

    def add(self, p: KvmProgram, vm: int | Arg) -> None:
        """Appends the calls and a pause. ``vm`` is a VM without memory slots."""
        data = uapi.pack(
            "kvm_userspace_memory_region",
            flags=uapi.KVM_MEM_LOG_DIRTY_PAGES,
            memory_size=self.slot,
            userspace_addr=_USER_ADDRESS,
        )
        region = p.structure(data, "slot 0, {:#x} bytes, KVM_MEM_LOG_DIRTY_PAGES", self.slot)
        none = p.structure(uapi.pack("kvm_userspace_memory_region"), "slot 0, 0 bytes")
        for _ in range(self.times):
            self.calls.append(p.add_memory(vm, region))
            p.add_memory(vm, none)
        sleep(p, _SETTLE_NS)

    def refusal(self, answer: Answer) -> str:
        """The errno of a slot that was refused; "" if there is none."""
        return next((answer[call].error for call in self.calls if answer[call].errno), "")


def address_purge(kvm: Kvm) -> AddressPurge:
    """The calls for this kernel's page size and number of processors. A slot takes half of a VM's IPA space at most."""
    program = KvmProgram(traced=False)
    reads = []
    for path in (_ONLINE, _AUXV):
        fd = program.open(path, os.O_RDONLY | os.O_CLOEXEC)
        reads.append(program.read(fd, 1024))
        program.close(fd)
    answer = kvm.subject.run(program)
    cores, auxv = (answer[read].data for read in reads)
    processors = parse_core_list(cores.decode("ascii", "replace")) or kvm.placement.allowed
    page = dict(struct.iter_unpack("<QQ", auxv[: len(auxv) & ~15])).get(_AT_PAGESZ, 4096)
    slot = min(page * _SLOT_PAGES, 1 << kvm.ipa_bits - 1)
    lazy = _LAZY_BYTES * len(processors).bit_length()
    return AddressPurge(slot, lazy // (slot // page // _PAGES_PER_BYTE) + 1)
