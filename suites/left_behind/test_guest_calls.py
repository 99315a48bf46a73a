# SPDX-License-Identifier: GPL-2.0-only
"""What the calls of a guest leave behind: memory, fds, tasks, and lines in the kernel's log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import GATED
from helpers.contract.neighbours import PSCI_CALLS
from helpers.contract.registers import Register
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.left_behind.growth import Meter
from suites.left_behind.log_lines import compare_log, repeated
from suites.support.calls import CONDUITS, GARBAGE, INSTRUCTIONS, REGISTER_LEVELS, call_of

_DENIED, _UNASSIGNED = 0x84000052, (0x84000070, 0x85000030, 0x86000010, 0xC6000010, 0xBF000000)
"""TRNG_GET_UUID, which the VM's filter denies, and ids of no function."""
_FEW_RUNS = 50
_NOBODY, _RESERVED = 0xFFFF00, 1 << 24
"""The affinity of no vCPU, and a reserved bit of affinities."""
_REFUSED = (
    (0xC4000003, (_NOBODY, 0, 0)), (0xC4000003, (_RESERVED, 0, 0)), (0x84000003, (0, 0, 0)), (0xC4000004, (_NOBODY, 0)),
    (0x84000004, (0, 9)), (0x84000012, (1, 0)), (0xC4000012, (1, 0)), (0x8400000A, (0x84000050,)), (0x84000005, ()),
    (0x8400001F, ()), (0x84000099, ()), (0xC6009999, ()), (0x80000001, (0xFFFFFFFF,)), (0xC5000020, (0x1234,)),
    (0xC4000053, (0xC1,)), (0x86000001, (9,)), (0, ()),
)  # fmt: skip
"""Calls whose arguments are wrong each in another way, and calls of unknown functions."""


def _requests() -> list[Call]:
    """Each service and PSCI function with valid and with wrong arguments, unassigned ids, and each immediate.

    None of the calls ends the guest's run.
    """
    calls = [call_of(function) for function in GATED]
    calls += [Call(f.id, (*f.args, *GARBAGE[len(f.args) :])) for f in PSCI_CALLS]
    functions = dict.fromkeys([*(f.id for f in GATED), *(f.id for f in PSCI_CALLS), *_UNASSIGNED])
    calls += [Call(function, GARBAGE) for function in functions]
    calls += [Call(function, args, form.conduit) for form in CONDUITS for function, args in _REFUSED]
    return [*calls, *(Call(0x80000000, GARBAGE, conduit) for conduit in INSTRUCTIONS)]


@dataclass(frozen=True)
class CallingVm:
    """A VM whose first vCPU makes calls. The second one is off."""

    vm: Vm

    def make(self, p: KvmProgram) -> None:
        """Makes every call once, in one KVM_RUN."""
        self._run(p, _requests())

    def make_none(self, p: KvmProgram) -> None:
        """Runs the guest without a call."""
        self._run(p, ())

    def _run(self, p: KvmProgram, calls: Sequence[Call]) -> None:
        guests.put_calls(p, self.vm.memory, calls)
        p.run(self.vm.vcpu.fd)


@pytest.fixture(params=REGISTER_LEVELS)
def calling(
    request: pytest.FixtureRequest, contract: Probe, registers: tuple[Register, ...], make_vm: MakeVm
) -> CallingVm:
    """A VM whose registers are full or empty, with a filter that denies a call."""
    vm = make_vm()
    vm.create_vcpu((uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_POWER_OFF))
    vm.vcpu.set_regs([(r, r.mask if request.param == "full" else 0) for r in registers])
    if contract.smccc_filter:
        vm.set_filter(_DENIED, 1, uapi.KVM_SMCCC_FILTER_DENY)
    # All calls return to the guest. Raises KvmError otherwise.
    guests.calls(vm.vcpu, _requests())
    return CallingVm(vm)


@pytest.mark.clause("LEFT-1", "LEFT-2")
def test_memory(calling: CallingVm, meter: Meter) -> None:
    """Neither memory nor fds nor tasks grow with the number of a guest's calls."""
    comparison = Comparison()
    meter.compare(comparison, f"{len(_requests())} guest calls", calling.make, calling.make_none, few=_FEW_RUNS)
    comparison.done()


@pytest.mark.clause("LEFT-4")
def test_log(calling: CallingVm, renew_deadline: Callable[[], float]) -> None:
    """A guest's calls, each made many times, write no line to the kernel's log more than once."""
    comparison, subject = Comparison(), calling.vm.kvm.subject
    made, none = repeated(calling.make), repeated(calling.make_none)
    compare_log(comparison, "guest calls", subject, renew_deadline, made, none)
    comparison.done()
