# SPDX-License-Identifier: GPL-2.0-only
"""A VM with the calls that it refuses, and one whose guest makes calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.features import Probe
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.kvm import PSCI_0_2, Kvm, Vm
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.left_behind.calling import DENIED, CallingVm, guest_requests
from suites.left_behind.growth import Meter
from suites.left_behind.refusals import RefusalPlace, RefusedCall, refused_calls
from suites.support.calls import REGISTER_LEVELS
from suites.support.features import complete


@dataclass(frozen=True)
class RefusingVm:
    """A VM with two vCPUs and two uninitialised ones, the calls that it refuses, by name, and its PSCI_VERSION."""

    vm: Vm
    place: RefusalPlace
    refused: frozenset[str]
    version: int

    def calls(self, p: KvmProgram) -> list[RefusedCall]:
        """The refused calls, in the program ``p``."""
        return [call for call in refused_calls(p, self.place) if call.name in self.refused]

    def make(self, p: KvmProgram) -> None:
        """Makes every refused call once."""
        for call in self.calls(p):
            call.make(p)

    def make_none(self, p: KvmProgram) -> None:
        """Makes as many calls, which succeed."""
        one = p.one_reg(self.place.registers[0])
        for _ in self.refused:
            p.call(self.place.vcpu, uapi.KVM_GET_ONE_REG, one)


@pytest.fixture
def meter(kvm: Kvm, renew_deadline: Callable[[], float]) -> Meter:
    """Measures growth."""
    return Meter(kvm, renew_deadline)


MakeRefusing = Callable[[str], RefusingVm]


@pytest.fixture
def make_refusing(kvm: Kvm, make_vm: MakeVm, registers: tuple[Register, ...]) -> MakeRefusing:
    """Makes a RefusingVm that is ``before_run`` or ``after_run``, with all bits but the lowest in each register.

    A register with one bit is empty before_run and full after_run. The vCPUs have SVE before_run, if the host has it.
    """

    def make(when: str) -> RefusingVm:
        sve = when == "before_run" and kvm.check_extension(uapi.KVM_CAP_ARM_SVE)
        features = (*PSCI_0_2, uapi.KVM_ARM_VCPU_SVE) if sve else PSCI_0_2
        vm = make_vm(2, features)
        complete(vm.vcpus, features)
        one_bit = {"before_run": 0, "after_run": ~0}[when]
        values = {r.name: r.mask & r.mask - 1 or r.mask & one_bit for r in registers}
        vm.vcpu.set_regs([(register, values[register.name]) for register in registers])
        blank, spare = vm.create_vcpu(None), vm.create_vcpu(None)
        if when == "after_run":
            vm.vcpu.immediate_exit()
        place = RefusalPlace(
            vm.kvm.fd, vm.fd, vm.vcpus[0].fd, vm.vcpus[1].fd, blank.fd, spare.fd, registers, values, when == "after_run"
        )
        version = vm.vcpu.get_reg(PSCI_VERSION)
        program = KvmProgram()
        made = [(call, call.make(program)) for call in refused_calls(program, place)]
        answer = vm.kvm.subject.run(program)
        refused = frozenset(call.name for call, done in made if answer[done].ran and answer[done].errno)
        return RefusingVm(vm, place, refused, version)

    return make


@pytest.fixture(params=REGISTER_LEVELS)
def calling(
    request: pytest.FixtureRequest, contract: Probe, registers: tuple[Register, ...], make_vm: MakeVm
) -> CallingVm:
    """A VM whose registers are full or empty, with a filter that denies a call."""
    vm = make_vm()
    vm.create_vcpu((uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_POWER_OFF))
    vm.vcpu.set_regs([(r, r.mask if request.param == "full" else 0) for r in registers])
    if contract.smccc_filter:
        vm.set_filter(DENIED, 1, uapi.KVM_SMCCC_FILTER_DENY)
    # All calls return to the guest. Raises KvmError otherwise.
    guests.calls(vm.vcpu, guest_requests())
    return CallingVm(vm)
