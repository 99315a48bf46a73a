# SPDX-License-Identifier: GPL-2.0-only
"""KVM_GET_REG_LIST: the listed registers, and the errors."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

import pytest

from helpers.contract.access import Place
from helpers.contract.check import Comparison
from helpers.contract.features import Probe, is_bitmap_id
from helpers.contract.registers import RFC_V3, Register
from helpers.kvm import Vm
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.access.conftest import Area, MakeMixed
from suites.conftest import MakeVm

_MARK = 0xA5A5_A5A5_A5A5_A5A5
_ROOM = 4096


@dataclass(frozen=True)
class Listing:
    """The result of one call: its errno, n, and the memory after n."""

    errno: int
    n: int
    ids: tuple[int, ...]


def _list(vm: Vm, fd: int, n: int) -> Listing:
    """KVM_GET_REG_LIST with ``n`` and memory for _ROOM ids that holds _MARK."""
    batch = vm.batch()
    listing = batch.program.reg_list(fd, n, room=_ROOM, fill=_MARK)
    done = batch.pending(f"KVM_GET_REG_LIST with n = {n}", listing.done)
    written, ids = listing.listed(batch.run())
    return Listing(done.errno, written, ids)


@pytest.mark.clause("LIST-1", "LIST-2")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_room(when: str, make_vm: MakeVm) -> None:
    """If n is too small, E2BIG, and n is the number of ids. Otherwise the whole list, and no byte more."""
    vm = make_vm()
    if when == "after_run":
        vm.vcpu.immediate_exit()
    count, comparison = len(vm.vcpu.reg_list()), Comparison()
    for n in (0, 1, count - 1, count, count + 1):
        found = _list(vm, vm.vcpu.fd, n)
        what, written = f"KVM_GET_REG_LIST with n = {n} of {count}", count if n >= count else 0
        comparison.error(what, 0 if written else errno.E2BIG, found.errno)
        comparison.value(f"n after {what}", count, found.n)
        marks = found.ids.count(_MARK)
        comparison.that(
            set(found.ids[written:]) == {_MARK} and marks == _ROOM - written,
            f"the list after {what}",
            f"{written} ids",
            f"{_ROOM - marks} ids",
        )
    comparison.done()


@pytest.mark.clause("LIST-1")
def test_no_register_twice(make_vm: MakeVm) -> None:
    """Each id is listed once and can be read. The list is the same before and after KVM_RUN and on every vCPU."""
    vm = make_vm(2)
    first, comparison = vm.vcpu.reg_list(), Comparison()
    twice = sorted({i for i in first if first.count(i) > 1})
    comparison.that(not twice, "KVM_GET_REG_LIST", "no id twice", ", ".join(f"{i:#x}" for i in twice))
    vm.vcpu.immediate_exit()
    for vcpu in vm.vcpus:
        changed = sorted(set(first) ^ set(vcpu.reg_list()))
        comparison.that(
            not changed,
            f"KVM_GET_REG_LIST on vCPU {vcpu.index} after a run of vCPU 0",
            "the same ids as before on vCPU 0",
            "differs in " + ", ".join(f"{i:#x}" for i in changed),
        )
    comparison.done()


@pytest.mark.clause("LIST-1")
@pytest.mark.parametrize("vcpu", [0, 1], ids=["vcpu0", "vcpu1"])
def test_listed_is_readable(vcpu: int, make_vm: MakeVm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """Of the first 1024 indices of the dialect's range, exactly the listed ones can be read."""
    vm = make_vm(2)
    base = uapi.fw_reg(0) if contract.dialect is RFC_V3 else uapi.fw_feat_bmap_reg(0)
    ids = [i for i in range(base, base + 0x400) if is_bitmap_id(contract.dialect, i)]
    listed, batch = vm.vcpus[vcpu].reg_list(), vm.batch()
    reads = [batch.get(vm.vcpus[vcpu], RegisterId(f"{i:#x}", i)) for i in ids]
    batch.run()
    comparison = Comparison()
    for number, read in zip(ids, reads, strict=True):
        comparison.error(f"KVM_GET_ONE_REG of {number:#x}", 0 if number in listed else errno.ENOENT, read.errno)
    comparison.done()


@pytest.mark.clause("LIST-3")
@pytest.mark.parametrize("place", Place, ids=lambda p: p.name.lower())
def test_unreachable_number(place: Place, make_vm: MakeVm) -> None:
    """KVM_GET_REG_LIST gives EFAULT if n cannot be read, or cannot be written."""
    vm, comparison = make_vm(), Comparison()
    batch = vm.batch()
    area = Area(batch)
    done = batch.ioctl("", vm.vcpu.fd, uapi.KVM_GET_REG_LIST, area.at(place, inside=4))
    area.free()
    batch.run()
    comparison.error(f"KVM_GET_REG_LIST with n at {place.value}", errno.EFAULT, done.errno)
    comparison.done()


@pytest.mark.clause("LIST-3", "LIST-2")
@pytest.mark.parametrize("room", ["announced", "not_announced"])
def test_unreachable_list(room: str, make_vm: MakeVm) -> None:
    """n can be accessed and the list cannot: EFAULT if n is large enough, else E2BIG. n is written in both cases."""
    vm = make_vm()
    count, batch = len(vm.vcpu.reg_list()), vm.batch()
    area = Area(batch)
    at = area.at(Place.STRADDLING, inside=8)
    batch.program.poke(at, struct.pack("<Q", count if room == "announced" else 0))
    done = batch.ioctl("", vm.vcpu.fd, uapi.KVM_GET_REG_LIST, at)
    written = batch.program.peek(at, 8)
    area.free()
    answer, comparison = batch.run(), Comparison()
    wanted = errno.EFAULT if room == "announced" else errno.E2BIG
    comparison.error("KVM_GET_REG_LIST with a list that cannot be written", wanted, done.errno)
    comparison.value("n after it", count, int.from_bytes(answer[written].data, "little"))
    comparison.done()


@pytest.mark.clause("LIST-4")
@pytest.mark.parametrize("on", ["not_initialised", "vm_fd", "dev_kvm"])
def test_wrong_fd(on: str, make_mixed: MakeMixed) -> None:
    """A call on a wrong fd is refused before n is read. Nothing is written."""
    mixed = make_mixed()
    fd = {"not_initialised": mixed.blank.fd, "vm_fd": mixed.vm.fd, "dev_kvm": mixed.vm.kvm.fd}[on]
    wanted, comparison = errno.ENOEXEC if on == "not_initialised" else errno.EINVAL, Comparison()
    for n in (0, _ROOM):
        found = _list(mixed.vm, fd, n)
        comparison.error(f"KVM_GET_REG_LIST on {on} with n = {n}", wanted, found.errno)
        comparison.value("n after it", n, found.n)
        comparison.that(set(found.ids) == {_MARK}, "the list after it", "nothing written", "something written")
    batch = mixed.vm.batch()
    area = Area(batch)
    done = batch.ioctl("", fd, uapi.KVM_GET_REG_LIST, area.at(Place.NO_ACCESS, inside=0))
    area.free()
    batch.run()
    comparison.error(f"KVM_GET_REG_LIST on {on} with n that cannot be read", wanted, done.errno)
    comparison.done()
