# SPDX-License-Identifier: GPL-2.0-only
"""A VM, and the calls that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import KvmProgram
from suites.conftest import MakeVm
from suites.left_behind.growth import Meter
from suites.left_behind.refusals import RefusalPlace, RefusedCall, refused_calls


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


@pytest.fixture
def meter(kvm: Kvm, renew_deadline: Callable[[], float]) -> Meter:
    """Measures growth."""
    return Meter(kvm, renew_deadline)


MakeRefusing = Callable[[str], RefusingVm]


@pytest.fixture
def make_refusing(make_vm: MakeVm, registers: tuple[Register, ...]) -> MakeRefusing:
    """Makes a RefusingVm that is ``before_run`` or ``after_run``, with all bits but the lowest in each register.

    A register with one bit is empty before_run and full after_run.
    """

    def make(when: str) -> RefusingVm:
        vm = make_vm(2)
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
