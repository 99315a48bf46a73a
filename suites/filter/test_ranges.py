# SPDX-License-Identifier: GPL-2.0-only
"""Which SMCCC filters a VM accepts, the errors for the others, and the order of the checks."""

from __future__ import annotations

import errno
import mmap

import pytest

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.kvm import Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm

EEXIST, EFAULT, ENXIO = errno.EEXIST, errno.EFAULT, errno.ENXIO
HANDLE, DENY, FORWARD = uapi.KVM_SMCCC_FILTER_HANDLE, uapi.KVM_SMCCC_FILTER_DENY, uapi.KVM_SMCCC_FILTER_FWD_TO_USER
CTRL, FILTER = uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER
ACTIONS = pytest.mark.parametrize("action", [HANDLE, DENY, FORWARD], ids=["HANDLE", "DENY", "FWD_TO_USER"])
GUARD = 0x10000
"""Bytes: at least one page on every host."""

INVALID = {
    "no_function": (0x84000050, 0, DENY),
    "no_function_at_1": (1, 0, DENY),
    "no_function_at_end": (0xFFFFFFFF, 0, DENY),
    "no_function_reserved": (0x80000000, 0, DENY),
    "wraps_by_one": (0xFFFFFFFF, 2, DENY),
    "wraps_from_2": (2, 0xFFFFFFFF, DENY),
    "wraps_half": (0x80000001, 0x80000000, DENY),
    "wraps_reserved": (0x80000000, 0x80000001, DENY),
    "action_3": (0x84000050, 1, 3),
    "action_4": (0x84000050, 1, 4),
    "action_0x81": (0x84000050, 1, 0x81),
    "action_0xff": (0x84000050, 1, 0xFF),
    "action_3_reserved": (0x80000000, 1, 3),
}
RESERVED = {
    "first_32": (0x80000000, 1), "last_32": (0x8000FFFF, 1), "first_64": (0xC0000000, 1), "last_64": (0xC000FFFF, 1),
    "ARCH_FEATURES": (0x80000001, 1), "WORKAROUND_1": (0x80008000, 1), "into_32": (0x7FFFFFFF, 2),
    "out_of_32": (0x8000FFFF, 2), "into_64": (0xBFFFFFFF, 2), "out_of_64": (0xC000FFFF, 2),
    "all_32": (0x80000000, 0x10000), "all_64": (0xC0000000, 0x10000), "around_32": (0x7FFFFFFF, 0x10002),
    "between": (0x8000FFFF, 0x3FFF0002),
    "everything": (0, 0xFFFFFFFF), "everything_but_0": (1, 0xFFFFFFFF),
}  # fmt: skip
FREE = {
    "first": (0, 1), "last": (0xFFFFFFFF, 1), "before_32": (0x7FFFFFFF, 1), "behind_32": (0x80010000, 1),
    "before_64": (0xBFFFFFFF, 1), "behind_64": (0xC0010000, 1), "lower_half": (0, 0x80000000),
    "between": (0x80010000, 0x3FFF0000), "to_the_end": (0xC0010000, 0x3FFF0000), "PSCI": (0x84000000, 0x20),
}  # fmt: skip
FIRST = (0x84000052, 4)
OVERLAPS = {
    "same": (0x84000052, 4), "inside": (0x84000053, 2), "first": (0x84000052, 1), "last": (0x84000055, 1),
    "left_edge": (0x84000051, 2), "right_edge": (0x84000055, 2), "around": (0x84000051, 6),
    "wide": (0x81000000, 0x10000000),
}  # fmt: skip


Expected = tuple[str, int, int, int, int]
"""The filter's name, base, number of functions and action, and the expected errno."""


def _compare(batch: Batch, filters: list[tuple[str, Pending]], expected: list[int]) -> None:
    batch.run()
    comparison = Comparison()
    for (what, done), error in zip(filters, expected, strict=True):
        comparison.error(what, error, done.errno)
    comparison.done()


def _try_filters(vm: Vm, wanted: list[Expected]) -> None:
    """Tries each in order, in one round trip, and asserts its errno."""
    batch = vm.batch()
    made = [(f"filter {name}, action {action}", batch.set_filter(vm.fd, base, n, action))
            for name, base, n, action, _ in wanted]  # fmt: skip
    _compare(batch, made, [error for *_, error in wanted])


@pytest.mark.clause("FILTER-1")
def test_presence(make_vm: MakeVm, contract: Probe) -> None:
    """KVM_HAS_DEVICE_ATTR succeeds for the filter if SMC is served."""
    if not contract.smc:
        pytest.skip("not applicable, because this kernel does not serve SMC (SMCCC_VERSION gives NOT_SUPPORTED there)")
    vm = make_vm()
    comparison = Comparison()
    done = vm.try_device_attr(vm.fd, uapi.KVM_HAS_DEVICE_ATTR, CTRL, FILTER, b"")
    comparison.error("KVM_HAS_DEVICE_ATTR of KVM_ARM_VM_SMCCC_FILTER on a VM", 0, done)
    comparison.done()


@pytest.mark.clause("FILTER-1")
@pytest.mark.parametrize(
    ("group", "attr"), [(0, 1), (0, 1 << 32), (0, (1 << 64) - 1), (1, 0), (0xFFFFFFFF, 0)], ids=lambda n: f"{n:#x}"
)
def test_other_attributes(group: int, attr: int, filter_vm: MakeVm) -> None:
    """Every other attribute gives ENXIO. A read of the filter gives EINVAL."""
    vm = filter_vm()
    batch = vm.batch()
    data = uapi.pack("kvm_smccc_filter", base=0x84000050, nr_functions=1, action=DENY)
    has = batch.device_attr("has", vm.fd, uapi.KVM_HAS_DEVICE_ATTR, group, attr, data)
    made = batch.device_attr("set", vm.fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)
    rule = batch.program.filter_range(0x84000050, 1, DENY)
    read = batch.call("get", vm.fd, uapi.KVM_GET_DEVICE_ATTR, rule)
    batch.run()
    comparison = Comparison()
    comparison.error(f"KVM_HAS_DEVICE_ATTR {group:#x}.{attr:#x}", ENXIO, has.errno)
    comparison.error(f"KVM_SET_DEVICE_ATTR {group:#x}.{attr:#x}", ENXIO, made.errno)
    comparison.error("KVM_GET_DEVICE_ATTR of the filter", EINVAL, read.errno)
    comparison.done()


@pytest.mark.clause("FILTER-2", "FILTER-5")
@pytest.mark.parametrize("ran", [False, True], ids=["before_run", "after_run"])
@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str, ran: bool, filter_vm: MakeVm) -> None:
    """An invalid filter gives EINVAL, also in a reserved range and after a run."""
    vm = filter_vm()
    if ran:
        guests.call(vm.vcpu, Call(0x80000000))
    comparison = Comparison()
    comparison.error(f"filter {name}", EINVAL, vm.try_set_filter(*INVALID[name]))
    comparison.done()


@pytest.mark.clause("FILTER-2", "FILTER-5")
def test_padding(filter_vm: MakeVm) -> None:
    """Each byte of the padding must be zero. EINVAL precedes EEXIST for a reserved range."""
    vm = filter_vm()
    batch = vm.batch()
    made = [
        (f"pad[{i}] = {value:#x}, base {base:#x}",
         batch.set_filter(vm.fd, base, 1, DENY, pad=bytes(i) + bytes([value])))
        for i in range(15) for value in (1, 0x80) for base in (0x84000050, 0x80000000)
    ]  # fmt: skip
    _compare(batch, made, [EINVAL] * len(made))


@pytest.mark.clause("FILTER-3")
@ACTIONS
@pytest.mark.parametrize("name", RESERVED)
def test_reserved(name: str, action: int, filter_vm: MakeVm) -> None:
    """Every part of Arm's architecture calls gives EEXIST, with any action, before and after other filters."""
    refused = (name, *RESERVED[name], action, EEXIST)
    _try_filters(filter_vm(), [refused, ("TRNG_VERSION", 0x84000050, 1, DENY, 0), refused])


@pytest.mark.clause("FILTER-3")
@ACTIONS
@pytest.mark.parametrize("name", FREE)
def test_free(name: str, action: int, filter_vm: MakeVm) -> None:
    """Every other range is accepted once, up to the edges of the reserved ranges and of all function ids."""
    _try_filters(filter_vm(), [(name, *FREE[name], action, 0), (f"{name} again", *FREE[name], action, EEXIST)])


@pytest.mark.clause("FILTER-3")
@ACTIONS
@pytest.mark.parametrize("first", [HANDLE, DENY, FORWARD], ids=["on_HANDLE", "on_DENY", "on_FWD_TO_USER"])
def test_overlap(first: int, action: int, filter_vm: MakeVm) -> None:
    """A range that shares a function with an earlier one gives EEXIST. Adjacent ranges are accepted."""
    touching = {"left": (0x84000051, 1), "right": (0x84000056, 2), "further left": (0x84000050, 1)}
    _try_filters(filter_vm(), [
        ("the first", *FIRST, first, 0),
        *((name, *wanted, action, EEXIST) for name, wanted in OVERLAPS.items()),
        *((f"adjacent, {name}", *wanted, action, 0) for name, wanted in touching.items()),
    ])  # fmt: skip


@pytest.mark.clause("FILTER-4", "FILTER-5")
@ACTIONS
@pytest.mark.parametrize("ran", [0, 1], ids=["vcpu0_ran", "vcpu1_ran"])
def test_after_run(ran: int, action: int, filter_vm: MakeVm) -> None:
    """After KVM_RUN every valid filter gives EBUSY: a new, identical, overlapping or reserved range."""
    vm = filter_vm(2)
    vm.set_filter(*FIRST, action)
    guests.call(vm.vcpus[ran], Call(0x80000000))
    ranges = {"identical": FIRST, "new": (0x84000060, 1), **OVERLAPS, **RESERVED}
    _try_filters(vm, [(name, *wanted, action, EBUSY) for name, wanted in ranges.items()])


@pytest.mark.clause("FILTER-4")
def test_after_immediate_exit(filter_vm: MakeVm) -> None:
    """KVM_RUN that returns before the first guest instruction locks the filter."""
    vm = filter_vm()
    vm.vcpu.immediate_exit()
    comparison = Comparison()
    comparison.error("filter after immediate_exit", EBUSY, vm.try_set_filter(*FIRST, DENY))
    comparison.done()


@pytest.mark.clause("FILTER-5")
@pytest.mark.parametrize("ran", [False, True], ids=["before_run", "after_run"])
def test_unreadable(ran: bool, filter_vm: MakeVm) -> None:
    """A null pointer gives EFAULT, and so does a structure whose last byte, or all but the first, cannot be read.

    A structure that ends where the readable memory ends is read.
    """
    vm = filter_vm()
    if ran:
        guests.call(vm.vcpu, Call(0x80000000))
    batch, size = vm.batch(), uapi.ffi.sizeof("struct kvm_smccc_filter")
    area = batch.mmap("mmap", 2 * GUARD, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    batch.program.munmap(area.ref + GUARD, GUARD)
    made = []
    for what, address in (
        ("NULL", 0),
        ("last byte", area.ref + (GUARD - size + 1)),
        ("first byte", area.ref + (GUARD - 1)),
    ):
        done = batch.device_attr(what, vm.fd, uapi.KVM_SET_DEVICE_ATTR, CTRL, FILTER, address)
        made.append((f"filter at {what}", done))
    batch.program.poke(area.ref + (GUARD - size), uapi.pack("kvm_smccc_filter", base=0x84000050, nr_functions=1))
    what, end = "filter at the end of the memory", area.ref + (GUARD - size)
    made.append((what, batch.device_attr(what, vm.fd, uapi.KVM_SET_DEVICE_ATTR, CTRL, FILTER, end)))
    batch.program.munmap(area.ref, GUARD)
    _compare(batch, made, [*[EFAULT] * (len(made) - 1), EBUSY if ran else 0])
