# SPDX-License-Identifier: GPL-2.0-only
"""An SMCCC filter is set while another thread changes it in the caller's memory: KVM must read it once."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from helpers import guests
from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.errors import NotMeasured
from helpers.executor.program import Answer, Arg
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram
from helpers.smccc import NOT_SUPPORTED, Call
from helpers.uapi import kvm as uapi
from suites.concurrency.changes import FEWEST, PARTS, changing, more_changes, share_a_core, switches
from suites.concurrency.sample import ACTION_READ_ONCE, RANGE_READ_ONCE, chances
from suites.conftest import MakeVm
from suites.support.threads import run_to_the_end

SET, HANDLE, DENY = uapi.KVM_SET_DEVICE_ATTR, uapi.KVM_SMCCC_FILTER_HANDLE, uapi.KVM_SMCCC_FILTER_DENY
NO_ACTION = uapi.KVM_SMCCC_FILTER_FWD_TO_USER + 1
RANGES, LENGTH, FIRST, STEP = 160, 8, 0xC600_1000, 0x100
"""Ranges of one program, the function ids in each, the first id, and the distance of two ranges."""
ATTEMPTS, MOST_RANGE_VMS, MOST_ACTION_VMS = 6, 8, 24
"""Attempts to set a filter for each function, and the most VMs of test_base and of test_action."""
CALLS = (
    Call(0x84000000), Call(0x84000050), Call(0x84000051, (0x84000050,)), Call(0x84000052), Call(0x84000053, (97,)),
    Call(0xC4000053, (193,)), Call(0x8600FF01), Call(0x86000000),
)  # fmt: skip
"""Calls that a filter can contain. test_action uses those that a new VM serves."""


class _Filter:
    """A struct kvm_smccc_filter. ``range`` is the address of base and nr_functions, ``action`` the action's."""

    def __init__(self, program: KvmProgram, action: int) -> None:
        data = uapi.pack("kvm_smccc_filter", base=FIRST, nr_functions=LENGTH, action=action)
        self.range = program.scratch_bytes(data)
        self.action = self.range + uapi.offset("kvm_smccc_filter", "action")
        self.attr = program.device_attr(uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER, self.range)


@pytest.fixture
def vm_with_filter(make_vm: MakeVm, contract: Probe) -> MakeVm:
    """Makes VMs as make_vm. The test is not applicable if they accept no SMCCC filter."""
    if not contract.smccc_filter:
        pytest.skip("not applicable, because this kernel's VMs accept no SMCCC filter (KVM_HAS_DEVICE_ATTR on the VM)")
    return make_vm


def _ranges(vm: Vm, changes: int, *, together: bool) -> int:
    """Sets RANGES filters, each with one of two bases. Later filters get EEXIST if they overlap the base that KVM used.

    Returns how often the base changed from one filter to the next.
    """
    program, comparison = KvmProgram(deadline_ms=60_000), Comparison()
    memory, calls = _Filter(program, DENY), list[Arg]()
    bases = [FIRST + STEP * number for number in range(RANGES)]
    with changing(vm.kvm, program, memory.range, (0, LENGTH), changes, together=together):
        for number, base in enumerate(bases):
            if number % (RANGES // PARTS) == 0:
                program.barrier()
            program.poke(memory.range + 1, struct.pack("<I", base)[1:])
            calls.append(program.call(vm.fd, SET, memory.attr))
    shown = [
        tuple(program.call(vm.fd, SET, program.filter_range(at, 1, DENY)) for at in (base, base + LENGTH))
        for base in bases
    ]
    answer = run_to_the_end(vm.kvm, program, "A race of filters with a change of the caller's memory")
    for base, done, both in zip(bases, calls, shown, strict=True):
        what = f"a filter of {LENGTH} functions from {base:#x} or {base + LENGTH:#x} on"
        comparison.error(what, 0, answer[done].errno)
        errors = sorted(answer[each].errno for each in both)
        comparison.that(errors == [0, errno.EEXIST], what, "one range", f"errnos {errors} of later filters in both")
    comparison.done()
    return switches([answer[low].errno for low, _ in shown])


def _actions(vm: Vm, calls: tuple[Call, ...], changes: int, *, together: bool) -> tuple[int, int]:
    """Sets filters of one function, whose action is HANDLE or invalid. In both cases KVM serves the guest's calls.

    Returns how many filters were accepted, and how often the action changed from one filter to the next.
    """
    program, comparison, results = KvmProgram(deadline_ms=60_000), Comparison(), list[Arg]()
    memory = _Filter(program, HANDLE)
    with changing(vm.kvm, program, memory.action, (HANDLE, NO_ACTION), changes, together=together):
        for one in calls:
            program.barrier()
            program.poke(memory.range, struct.pack("<2I", one.function, 1))
            results += [program.call(vm.fd, SET, memory.attr) for _ in range(ATTEMPTS)]
    guests.put_calls(program, vm.memory, calls)
    run = program.run(vm.vcpu.fd)
    mailbox = guests.take_calls(program, run, vm.memory, calls)
    answer: Answer = run_to_the_end(vm.kvm, program, "A race of filters with a change of the caller's memory")
    errors = [answer[each].errno for each in results]
    for error in errors:
        comparison.that(error in (0, EINVAL, errno.EEXIST), "a filter", "success, EINVAL or EEXIST", str(error))
    comparison.error("KVM_RUN", 0, answer[run].errno)
    for one, result in zip(calls, guests.read(answer[mailbox].data), strict=True):
        what = f"{one.function:#x}, whose filter's action was {HANDLE} or {NO_ACTION} (invalid)"
        comparison.that(result.x0_3[0] != NOT_SUPPORTED, what, "the answer of a new VM", "NOT_SUPPORTED")
    comparison.done()
    return errors.count(0), switches([error == EINVAL for error in errors])


@pytest.mark.clause("RACE-6")
def test_base(vm_with_filter: MakeVm, renew_deadline: Callable[[], float]) -> None:
    """The range begins and ends like one of the two filters that the memory held."""
    changes, met, vms = FEWEST, 0, 0
    while met < chances(RANGE_READ_ONCE) and vms < MOST_RANGE_VMS:
        renew_deadline()
        vm = vm_with_filter()
        met_now = _ranges(vm, changes, together=share_a_core(vm.kvm, met, vms, MOST_RANGE_VMS))
        met, vms, changes = met + met_now, vms + 1, more_changes(changes, met_now, RANGES)
    if not met:
        raise NotMeasured(f"the memory did not change between any two of {vms * RANGES} filters")


@pytest.mark.clause("RACE-6")
def test_action(vm_with_filter: MakeVm, renew_deadline: Callable[[], float]) -> None:
    """An invalid action never takes effect."""
    results = guests.calls(vm_with_filter().vcpu, CALLS)
    calls = tuple(c for c, result in zip(CALLS, results, strict=True) if result.x0_3[0] != NOT_SUPPORTED)
    changes, taken, met, vms = FEWEST, 0, 0, 0
    while taken < chances(ACTION_READ_ONCE) and vms < MOST_ACTION_VMS:
        renew_deadline()
        vm = vm_with_filter()
        together = share_a_core(vm.kvm, met, vms, MOST_ACTION_VMS)
        taken_now, met_now = _actions(vm, calls, changes, together=together)
        taken, met, vms = taken + taken_now, met + met_now, vms + 1
        changes = more_changes(changes, met_now, len(calls) * ATTEMPTS)
    if not met:
        raise NotMeasured(f"the memory did not change between any two filters of {vms} VMs")
