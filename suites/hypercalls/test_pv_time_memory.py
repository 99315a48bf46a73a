# SPDX-License-Identifier: GPL-2.0-only
"""The memory of a stolen-time area: read-only, missing, logged as dirty, and with an earlier stolen time in it."""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.check import EINVAL, Comparison
from helpers.contract.functions import CLOSED, PV_TIME_FEATURES_ID, PV_TIME_ST_ID, SMCCC_VERSION
from helpers.executor.program import Answer, Arg
from helpers.kvm import Vm
from helpers.smccc import NOT_SUPPORTED, Call, CallResult
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.conftest import MakeVm
from suites.hypercalls.test_pv_time import pv_vm
from suites.support.calls import GARBAGE

__all__ = ["pv_vm"]

SLOT_IPA, SLOT_SIZE = 0x2000_0000, 0x10000
"""A separate slot for the area, one page where pages are 64 KiB."""
AREA = SLOT_IPA + 64
_PATTERN = b"\xa5" * 192
"""The area's bytes before a call, and 64 bytes on each side."""
_NO_AREA = (1 << 64) - 1
_CLOCK_BOOTTIME = 7
_ATTR = (uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA)
PV_TIME_ST = Call(PV_TIME_ST_ID, GARBAGE)
VERSION = Call(SMCCC_VERSION)


class _Area:
    """A batch for a VM whose slot 1 has the area's memory."""

    def __init__(self, vm: Vm) -> None:
        self.vm, self.batch = vm, vm.batch()
        self.memory = self.batch.mmap("mmap", SLOT_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1).ref
        self.had_to_succeed: list[Pending] = []
        self.fill()

    def fill(self, stolen: int | None = None) -> None:
        """Writes the pattern, and the stolen time (ns) into it."""
        self.batch.program.poke(self.memory, _PATTERN)
        if stolen is not None:
            self.batch.program.poke(self.memory + (64 + 8), struct.pack("<Q", stolen))

    def slot(self, *, flags: int = 0, size: int = SLOT_SIZE) -> None:
        """KVM_SET_USER_MEMORY_REGION of slot 1; of size 0 it deletes the slot."""
        region = self.batch.program.memory_region(self.memory, slot=1, flags=flags, ipa=SLOT_IPA, size=size)
        what = f"KVM_SET_USER_MEMORY_REGION with flags {flags:#x} and {size:#x} bytes"
        done = self.batch.call(what, self.vm.fd, uapi.KVM_SET_USER_MEMORY_REGION, region)
        self.had_to_succeed.append(done)

    def set_address(self) -> Pending:
        """KVM_ARM_VCPU_PVTIME_IPA."""
        data = struct.pack("<Q", AREA)
        return self.batch.device_attr("set", self.vm.vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, *_ATTR, data)

    def address(self) -> Pending:
        """The address that reads back."""
        argument = self.batch.program.device_attr(*_ATTR, bytes(8))
        done = self.batch.program.call(self.vm.vcpu.fd, uapi.KVM_GET_DEVICE_ATTR, argument)
        return self.batch.pending("KVM_GET_DEVICE_ATTR", done, self.batch.program.peek(argument.memory, 8))

    def calls(self, *calls: Call) -> tuple[Pending, Arg]:
        """A run in which the guest makes the calls: the run, and the mailbox after it."""
        guests.put_calls(self.batch.program, self.vm.memory, calls)
        run = self.batch.run_vcpu(self.vm.vcpu)
        return run, guests.take_calls(self.batch.program, run.ref, self.vm.memory, calls)

    def content(self) -> Arg:
        """The area and 64 bytes on each side."""
        return self.batch.program.peek(self.memory, len(_PATTERN))

    def run(self) -> Answer:
        """Runs the batch. Raises KvmError. The test is not applicable if the kernel (e.g. pKVM) refuses the slots."""
        self.batch.program.munmap(self.memory, SLOT_SIZE)
        answer = self.batch.run()
        for each in self.had_to_succeed:
            if each.errno == errno.EPERM:
                pytest.skip(f"not applicable, because this kernel refuses {each.what} with EPERM")
            each.ok()
        return answer


def _results(c: Comparison, answer: Answer, made: tuple[Pending, Arg], what: str) -> list[CallResult]:
    """The calls' results. A KVM_RUN that fails is a difference."""
    c.error(f"KVM_RUN {what}", 0, made[0].errno)
    return guests.read(answer[made[1]].data)


def _compare_zeroed(c: Comparison, content: bytes, what: str) -> None:
    """The area is zero except for the stolen time, and the bytes on each side have not changed."""
    kept, expected = content[:72] + content[80:], _PATTERN[:64] + bytes(56) + _PATTERN[128:]
    c.that(kept == expected, f"the area and 64 bytes on each side {what}", expected.hex(), kept.hex())


@pytest.mark.clause("PVTIME-9")
def test_read_only_slot(pv_vm: MakeVm) -> None:
    """An address in a read-only slot gives EINVAL. The guest has no area, and the memory does not change."""
    area, comparison = _Area(pv_vm()), Comparison()
    area.slot(flags=uapi.KVM_MEM_READONLY)
    refused, before = area.set_address(), area.address()
    made = area.calls(Call(PV_TIME_FEATURES_ID, (PV_TIME_ST_ID,)), PV_TIME_ST)
    content = area.content()
    answer = area.run()
    comparison.error("an address in a read-only slot", EINVAL, refused.errno)
    comparison.value("the address read back", _NO_AREA, before.value)
    for name, result in zip(("PV_TIME_FEATURES", "PV_TIME_ST"), _results(comparison, answer, made, ""), strict=True):
        comparison.x(name, CLOSED, result.x0_3)
    comparison.that(answer[content].data == _PATTERN, "the memory", _PATTERN.hex(), answer[content].data.hex())
    comparison.done()


@dataclass(frozen=True)
class _Loss:
    """Calls after which the area's memory is not writable, and calls that make it writable again."""

    lose: Callable[[_Area], None]
    restore: Callable[[_Area], None]


def _delete(area: _Area) -> None:
    area.slot(size=0)


def _make_read_only(area: _Area) -> None:
    area.slot(size=0)
    area.slot(flags=uapi.KVM_MEM_READONLY)


def _make_writable(area: _Area) -> None:
    area.slot(size=0)
    area.slot()


def _protect(protection: int) -> Callable[[_Area], None]:
    def protect(area: _Area) -> None:
        done = area.batch.program.syscall(syscalls.MPROTECT, area.memory, SLOT_SIZE, protection)
        area.had_to_succeed.append(area.batch.pending("mprotect", done))

    return protect


LOSSES = {
    "no_slot": _Loss(_delete, _Area.slot),
    "read_only_slot": _Loss(_make_read_only, _make_writable),
    "read_only_in_the_host": _Loss(_protect(mmap.PROT_READ), _protect(mmap.PROT_READ | mmap.PROT_WRITE)),
}


@pytest.mark.clause("PVTIME-10")
@pytest.mark.parametrize("name", LOSSES)
def test_memory_lost(name: str, pv_vm: MakeVm) -> None:
    """Calls without writable memory change nothing. The guest continues. The area works once it is writable again."""
    area, comparison, loss = _Area(pv_vm()), Comparison(), LOSSES[name]
    area.slot()
    set_once = area.set_address()
    first = area.calls(PV_TIME_ST)
    area.fill()
    loss.lose(area)
    during = [area.calls(PV_TIME_ST, VERSION) for _ in range(2)]
    kept, address = area.content(), area.address()
    loss.restore(area)
    last = area.calls(PV_TIME_ST)
    content = area.content()
    answer = area.run()
    comparison.error("the address", 0, set_once.errno)
    comparison.x("PV_TIME_ST before", (AREA, 0, 0, 0), _results(comparison, answer, first, "before")[0].x0_3)
    for made in during:
        st, version = _results(comparison, answer, made, name)
        either = st.x[0] in (AREA, NOT_SUPPORTED) and not any(st.x[1:4])
        comparison.that(either, f"PV_TIME_ST, {name}", f"x0={AREA:#x} or NOT_SUPPORTED", str(st.x0_3))
        comparison.that(version.x[0] >> 16 == 1, f"SMCCC_VERSION after it, {name}", "1.x", f"{version.x[0]:#x}")
    comparison.that(answer[kept].data == _PATTERN, f"the memory, {name}", _PATTERN.hex(), answer[kept].data.hex())
    comparison.value(f"the address read back, {name}", AREA, address.value)
    comparison.x("PV_TIME_ST after", (AREA, 0, 0, 0), _results(comparison, answer, last, "after")[0].x0_3)
    _compare_zeroed(comparison, answer[content].data, "after PV_TIME_ST")
    comparison.done()


def _dirty_log(batch: Batch, vm: Vm) -> tuple[Pending, Arg]:
    """KVM_GET_DIRTY_LOG of slot 1, which clears it: the call, and the bitmap."""
    bitmap = batch.program.scratch(16)
    log = batch.program.structure(uapi.pack("kvm_dirty_log", slot=1), "slot 1")
    batch.program.poke_address(log.address + uapi.offset("kvm_dirty_log", "padding2"), bitmap)
    done = batch.call("KVM_GET_DIRTY_LOG", vm.fd, uapi.KVM_GET_DIRTY_LOG, log)
    return done, batch.program.peek(bitmap, 8)


@pytest.mark.clause("PVTIME-11", "PVTIME-12")
def test_earlier_stolen_time(pv_vm: MakeVm) -> None:
    """Without PV_TIME_ST, KVM adds stolen time to the value in memory. Each page that it writes is in the dirty log."""
    vm, start, comparison = pv_vm(), 1 << 50, Comparison()
    area = _Area(vm)
    area.slot(flags=uapi.KVM_MEM_LOG_DIRTY_PAGES)
    area.fill(start)
    area.had_to_succeed.append(area.set_address())
    logs = [_dirty_log(area.batch, vm)]
    restored = area.calls(VERSION)
    content = area.content()
    logs.append(_dirty_log(area.batch, vm))
    now = area.batch.program.clock(_CLOCK_BOOTTIME)
    made = area.calls(PV_TIME_ST)
    logs.append(_dirty_log(area.batch, vm))
    zeroed = area.content()
    answer = area.run()
    _results(comparison, answer, restored, "of a restored vCPU")
    data = answer[content].data
    (stolen,) = struct.unpack_from("<Q", data, 64 + 8)
    most = start + answer[now].ret
    what = "the stolen time in restored memory"
    comparison.that(start <= stolen <= most, what, f"{start} to {most} ns", f"{stolen} ns")
    others = data[:72] + data[80:]
    comparison.that(others == _PATTERN[8:], "the other bytes", _PATTERN[8:].hex(), others.hex())
    dirty = []
    for done, bitmap in logs:
        done.ok()
        dirty.append(int.from_bytes(answer[bitmap].data, "little"))
    if stolen != start:
        comparison.value("the dirty log after stolen time was added", 1, dirty[1])
    comparison.x("PV_TIME_ST", (AREA, 0, 0, 0), _results(comparison, answer, made, "of PV_TIME_ST")[0].x0_3)
    comparison.value("the dirty log after PV_TIME_ST", 1, dirty[2])
    _compare_zeroed(comparison, answer[zeroed].data, "after PV_TIME_ST")
    comparison.done()
