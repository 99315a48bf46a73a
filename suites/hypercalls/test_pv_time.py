# SPDX-License-Identifier: GPL-2.0-only
"""The stolen-time area: KVM_ARM_VCPU_PVTIME_IPA, and the memory after PV_TIME_ST."""

from __future__ import annotations

import errno
import mmap
import struct

import pytest

from helpers import guests
from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import ARCH_FEATURES, CLOSED, PV_TIME_FEATURES_ID, PV_TIME_ST_ID
from helpers.contract.registers import PV_TIME, STD_HYP, Register
from helpers.executor.program import Program
from helpers.guest_layout import MEMORY_IPA, MEMORY_SIZE, PV_TIME_IPA
from helpers.guests import set_pv_time
from helpers.kvm import Vcpu, Vm
from helpers.smccc import Call, Conduit
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.support.calls import GARBAGE, REGISTER_LEVELS
from suites.support.mp_state import RUNNABLE, STOPPED, set_mp_state

EEXIST, EFAULT, ENXIO = errno.EEXIST, errno.EFAULT, errno.ENXIO
CTRL, IPA = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
SET, GET, HAS = uapi.KVM_SET_DEVICE_ATTR, uapi.KVM_GET_DEVICE_ATTR, uapi.KVM_HAS_DEVICE_ATTR
AREA = PV_TIME_IPA + 64
NO_AREA = (1 << 64) - 1
END = MEMORY_IPA + MEMORY_SIZE
BEYOND = -1
"""A placeholder for the first address beyond the VM's address space."""
NO_SLOT = {
    "zero": 0, "below": MEMORY_IPA - 64, "behind": END, "one_page_behind": END + 0x1000, "beyond_the_vm": BEYOND,
    "52_bits": 1 << 52, "last": (1 << 64) - 64,
}  # fmt: skip
GUARD = 0x10000


@pytest.fixture
def pv_vm(make_vm: MakeVm, registers: tuple[Register, ...], contract: Probe) -> MakeVm:
    """Makes VMs as make_vm. The test is not applicable if their vCPUs accept no stolen-time area."""
    if not contract.pv_time:
        pytest.skip("not applicable, because this kernel has no stolen time (KVM_HAS_DEVICE_ATTR, KVM_CAP_STEAL_TIME)")
    return make_vm


def _attr(vcpu: Vcpu, request: int, value: int = 0, attr: int = IPA) -> tuple[int, int]:
    """The errno, and the 8 bytes at the pointer after the call."""
    batch = vcpu.vm.batch()
    argument = batch.program.device_attr(CTRL, attr, struct.pack("<Q", value))
    done = batch.call(f"KVM_ARM_VCPU_PVTIME_IPA {value:#x}", vcpu.fd, request, argument)
    after = batch.program.peek(argument.memory, 8)
    data = batch.run()[after].data
    return done.errno, struct.unpack("<Q", data)[0]


def _poke(vm: Vm, ipa: int, data: bytes) -> None:
    program = Program()
    program.poke(vm.memory + ipa - MEMORY_IPA, data)
    vm.kvm.subject.run(program)


def _peek(vm: Vm, ipa: int, length: int) -> bytes:
    program = Program()
    area = program.peek(vm.memory + ipa - MEMORY_IPA, length)
    return vm.kvm.subject.run(program)[area].data


def _set_state(vcpu: Vcpu, state: int) -> None:
    batch = vcpu.vm.batch()
    done = set_mp_state(batch, vcpu, state)
    batch.run()
    done.ok()


def _hold(vm: Vm, registers: tuple[Register, ...], level: str) -> None:
    vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])


@pytest.mark.clause("PVTIME-1", "CALL-2")
@pytest.mark.parametrize("conduit", [Conduit.HVC, Conduit.SMC], ids=lambda c: c.name)
@pytest.mark.parametrize("state", ["open", "closed"])
def test_area(state: str, conduit: Conduit, registers: tuple[Register, ...], pv_vm: MakeVm, contract: Probe) -> None:
    """PV_TIME_ST zeroes its 64 bytes if its bit is set, and no other memory. Without the bit it zeroes nothing."""
    if conduit is Conduit.SMC and not contract.smc:
        pytest.skip("not applicable, because this kernel does not serve SMC (SMCCC_VERSION gives NOT_SUPPORTED there)")
    hyp = next(r for r in registers if r.name == STD_HYP)
    vm, comparison = pv_vm(), Comparison()
    vm.vcpu.set_reg(hyp, (hyp.bit(PV_TIME) or 0) if state == "open" else 0)
    set_pv_time(vm, AREA)
    expected = (AREA, 0, 0, 0) if state == "open" else CLOSED
    inside = b"\0" if state == "open" else b"\xa5"
    for turn in ("first", "second"):
        _poke(vm, AREA - 64, b"\xa5" * 192)
        result = guests.call(vm.vcpu, Call(PV_TIME_ST_ID, GARBAGE, conduit))
        comparison.x(f"{turn} PV_TIME_ST, {state}", expected, result.x0_3)
        memory = _peek(vm, AREA - 64, 192)
        # Bytes 8..15 of the area are the stolen time, which KVM updates whenever it loads the vCPU.
        kept, wanted = memory[:72] + memory[80:], b"\xa5" * 64 + inside * 56 + b"\xa5" * 64
        comparison.that(kept == wanted, f"the area and 64 bytes on each side, {turn}", wanted.hex(), kept.hex())
    comparison.done()


@pytest.mark.clause("PVTIME-8")
def test_stolen_time(pv_vm: MakeVm) -> None:
    """After PV_TIME_ST the stolen time (ns) starts at zero, never decreases, and is at most the elapsed time."""
    vm, comparison, last = pv_vm(), Comparison(), 0
    set_pv_time(vm, AREA)
    _poke(vm, AREA, b"\x11" * 64)
    started = guests.timed_calls(vm.vcpu, [Call(PV_TIME_ST_ID, GARBAGE)]).realtime[0]
    for turn in range(8):
        ended = guests.timed_calls(vm.vcpu, [Call(0x80000000)] * 4).realtime[1]
        (stolen,) = struct.unpack("<Q", _peek(vm, AREA + 8, 8))
        what, most = f"the stolen time, read {turn + 1}", ended - started
        comparison.that(last <= stolen <= most, what, f"{last} to {most} ns", f"{stolen} ns")
        last = stolen
    comparison.done()


@pytest.mark.clause("PVTIME-3", "PVTIME-4", "PVTIME-6")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_first_and_last(level: str, registers: tuple[Register, ...], pv_vm: MakeVm) -> None:
    """The first and last 64 bytes of a memory slot are accepted and read back, whatever the bitmaps hold."""
    comparison = Comparison()
    for ipa in (MEMORY_IPA, MEMORY_IPA + 64, END - 64):
        vcpu = pv_vm().vcpu
        _hold(vcpu.vm, registers, level)
        comparison.error("KVM_HAS_DEVICE_ATTR", 0, _attr(vcpu, HAS)[0])
        comparison.value("the address before it is set", NO_AREA, _attr(vcpu, GET)[1])
        comparison.error(f"stolen-time area at {ipa:#x}", 0, _attr(vcpu, SET, ipa)[0])
        comparison.value("the address read back", ipa, _attr(vcpu, GET)[1])
    comparison.done()


@pytest.mark.clause("PVTIME-3", "PVTIME-4")
def test_misaligned(registers: tuple[Register, ...], pv_vm: MakeVm) -> None:
    """An address that is not a multiple of 64 gives EINVAL. No address is set."""
    vcpu, comparison = pv_vm().vcpu, Comparison()
    for low in range(1, 64):
        comparison.error(f"stolen-time area at {AREA + low:#x}", EINVAL, _attr(vcpu, SET, AREA + low)[0])
    comparison.value("the address read back", NO_AREA, _attr(vcpu, GET)[1])
    comparison.done()


@pytest.mark.clause("PVTIME-3", "PVTIME-4", "PVTIME-2")
@pytest.mark.parametrize("where", NO_SLOT)
def test_no_slot(where: str, pv_vm: MakeVm) -> None:
    """An address without memory gives EINVAL. No address is set, and the guest has no area."""
    vcpu, comparison = pv_vm().vcpu, Comparison()
    ipa = 1 << vcpu.vm.kvm.ipa_bits if NO_SLOT[where] == BEYOND else NO_SLOT[where]
    comparison.error(f"stolen-time area at {ipa:#x}", EINVAL, _attr(vcpu, SET, ipa)[0])
    comparison.value("the address read back", NO_AREA, _attr(vcpu, GET)[1])
    calls = [Call(PV_TIME_FEATURES_ID, (PV_TIME_ST_ID,)), Call(PV_TIME_ST_ID, GARBAGE)]
    for call, result in zip(calls, guests.calls(vcpu, calls), strict=True):
        comparison.x(f"HVC {call.function:#x}", CLOSED, result.x0_3)
    comparison.done()


@pytest.mark.clause("PVTIME-3", "PVTIME-5")
@pytest.mark.parametrize("state", [RUNNABLE, STOPPED], ids=["runnable", "stopped"])
def test_second_address(state: int, pv_vm: MakeVm) -> None:
    """The same and another address give EEXIST, also one without memory. A misaligned one gives EINVAL."""
    vcpu, comparison = pv_vm().vcpu, Comparison()
    set_pv_time(vcpu.vm, AREA)
    _set_state(vcpu, state)
    rows = [(AREA, EEXIST), (AREA + 64, EEXIST), (0, EEXIST), (1 << 52, EEXIST), (AREA + 1, EINVAL), (1, EINVAL)]
    for ipa, expected in rows:
        comparison.error(f"stolen-time area at {ipa:#x} if one is set", expected, _attr(vcpu, SET, ipa)[0])
        comparison.value("the address read back", AREA, _attr(vcpu, GET)[1])
    _set_state(vcpu, RUNNABLE)
    comparison.x("PV_TIME_ST", (AREA, 0, 0, 0), guests.call(vcpu, Call(PV_TIME_ST_ID, GARBAGE)).x0_3)
    comparison.done()


@pytest.mark.clause("PVTIME-5")
@pytest.mark.parametrize("attr", [1, 2, 1 << 32, (1 << 64) - 1], ids=hex)
def test_other_attributes(attr: int, pv_vm: MakeVm) -> None:
    """SET, GET and HAS give ENXIO for any other attribute of the group."""
    vcpu, comparison = pv_vm().vcpu, Comparison()
    for name, request in (("SET", SET), ("GET", GET), ("HAS", HAS)):
        done, _ = _attr(vcpu, request, AREA, attr)
        comparison.error(f"KVM_{name}_DEVICE_ATTR {CTRL}.{attr:#x}", ENXIO, done)
    comparison.done()


@pytest.mark.clause("PVTIME-5")
@pytest.mark.parametrize("state", ["no_area", "area_set"])
@pytest.mark.parametrize("request_name", ["SET", "GET"])
def test_bad_pointer(request_name: str, state: str, pv_vm: MakeVm) -> None:
    """SET gives EFAULT if the address cannot be read, and GET if it cannot be written. Other attributes give ENXIO."""
    vm = pv_vm()
    if state == "area_set":
        set_pv_time(vm, AREA)
    request, batch = {"SET": SET, "GET": GET}[request_name], vm.batch()
    area = batch.mmap("mmap", 2 * GUARD, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    batch.program.munmap(area.ref + GUARD, GUARD)
    made = []
    for attr, expected in ((IPA, EFAULT), (IPA + 1, ENXIO)):
        for what, address in (("behind the end", area.ref + GUARD), ("across the end", area.ref + (GUARD - 4))):
            done = batch.device_attr(what, vm.vcpu.fd, request, CTRL, attr, address)
            made.append((f"{request_name} {attr}, {what}", expected, done))
    batch.program.munmap(area.ref, GUARD)
    batch.run()
    comparison = Comparison()
    for what, expected, done in made:
        comparison.error(what, expected, done.errno)
    comparison.value("the address", NO_AREA if state == "no_area" else AREA, _attr(vm.vcpu, GET)[1])
    comparison.done()


@pytest.mark.clause("PVTIME-1")
def test_area_at_the_end(pv_vm: MakeVm) -> None:
    """PV_TIME_ST returns all bits of the highest possible address, and zeroes the memory there."""
    vm, comparison = pv_vm(), Comparison()
    ipa = (1 << vm.kvm.ipa_bits) - GUARD
    batch = vm.batch()
    memory = batch.mmap("mmap", GUARD, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    region = batch.program.memory_region(memory.ref, slot=1, ipa=ipa, size=GUARD)
    added = batch.call("KVM_SET_USER_MEMORY_REGION", vm.fd, uapi.KVM_SET_USER_MEMORY_REGION, region)
    batch.program.poke(memory.ref, b"\xa5" * 64)
    batch.run()
    added.ok()
    set_pv_time(vm, ipa)
    comparison.x("PV_TIME_ST", (ipa, 0, 0, 0), guests.call(vm.vcpu, Call(PV_TIME_ST_ID, GARBAGE)).x0_3)
    program = Program()
    area = program.peek(memory.ret, 64)
    program.munmap(memory.ret, GUARD)
    found = vm.kvm.subject.run(program)[area].data
    # Bytes 8..15 are the stolen time.
    comparison.that(not any(found[:8] + found[16:]), "the area", "zeros around the stolen time", found.hex(" ", 8))
    comparison.done()


@pytest.mark.clause("PVTIME-7")
def test_each_vcpu_has_its_own(pv_vm: MakeVm) -> None:
    """A vCPU has its own area, and none if only another vCPU has one."""
    vm, comparison = pv_vm(3), Comparison()
    areas = (AREA, AREA + 64)
    for vcpu, area_ipa in zip(vm.vcpus, areas, strict=False):
        comparison.error(f"area of vCPU {vcpu.index}", 0, _attr(vcpu, SET, area_ipa)[0])
    calls = [Call(PV_TIME_FEATURES_ID, (PV_TIME_ST_ID, *GARBAGE[1:])), Call(PV_TIME_ST_ID, GARBAGE)]
    held: tuple[int | None, ...] = (*areas, None)
    for vcpu, ipa in zip(vm.vcpus, held, strict=True):
        features, area = (r.x0_3 for r in guests.calls(vcpu, calls))
        comparison.x(f"PV_TIME_FEATURES on vCPU {vcpu.index}", CLOSED if ipa is None else (0, 0, 0, 0), features)
        comparison.x(f"PV_TIME_ST on vCPU {vcpu.index}", CLOSED if ipa is None else (ipa, 0, 0, 0), area)
        comparison.value(f"the address of vCPU {vcpu.index}", NO_AREA if ipa is None else ipa, _attr(vcpu, GET)[1])
    comparison.done()


@pytest.mark.clause("PVTIME-6", "PVTIME-1", "PVTIME-2", "ARCH-1")
def test_area_after_run(pv_vm: MakeVm) -> None:
    """An area can be set after KVM_RUN, and the guest then uses it. ARCH_FEATURES does not depend on the area."""
    vcpu, comparison = pv_vm().vcpu, Comparison()
    calls = [
        Call(ARCH_FEATURES, (PV_TIME_FEATURES_ID,)),
        Call(PV_TIME_FEATURES_ID, (PV_TIME_ST_ID,)),
        Call(PV_TIME_ST_ID),
    ]
    without, held = [(0, 0, 0, 0), CLOSED, CLOSED], [(0, 0, 0, 0), (0, 0, 0, 0), (AREA, 0, 0, 0)]
    for when, expected in (("before", without), ("after", held)):
        for call, wanted, result in zip(calls, expected, guests.calls(vcpu, calls), strict=True):
            comparison.x(f"HVC {call.function:#x} {when} the area is set", wanted, result.x0_3)
        if when == "before":
            comparison.error("stolen-time area after a run", 0, _attr(vcpu, SET, AREA)[0])
    comparison.done()


@pytest.mark.clause("PVTIME-6")
@pytest.mark.parametrize("first", [True, False], ids=["first_init", "init_again"])
def test_area_outlives_init(first: bool, pv_vm: MakeVm) -> None:
    """Neither the first KVM_ARM_VCPU_INIT nor a later one removes a vCPU's area."""
    vcpu, comparison = (pv_vm(1, None) if first else pv_vm()).vcpu, Comparison()
    set_pv_time(vcpu.vm, AREA)
    comparison.error("KVM_ARM_VCPU_INIT after the address was set", 0, vcpu.try_init())
    comparison.value("the address read back", AREA, _attr(vcpu, GET)[1])
    comparison.x("PV_TIME_ST", (AREA, 0, 0, 0), guests.call(vcpu, Call(PV_TIME_ST_ID, GARBAGE)).x0_3)
    comparison.done()


@pytest.mark.clause("PVTIME-6")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_capabilities(level: str, registers: tuple[Register, ...], pv_vm: MakeVm) -> None:
    """KVM_CAP_STEAL_TIME and KVM_CAP_PTP_KVM do not depend on the bitmaps."""
    vm, comparison = pv_vm(), Comparison()
    _hold(vm, registers, level)
    for name, number in (("KVM_CAP_STEAL_TIME", uapi.KVM_CAP_STEAL_TIME), ("KVM_CAP_PTP_KVM", uapi.KVM_CAP_PTP_KVM)):
        comparison.value(f"{name} on the VM, registers {level}", 1, vm.check_extension(number))
        comparison.value(f"{name} on /dev/kvm", 1, vm.kvm.check_extension(number))
    comparison.done()
