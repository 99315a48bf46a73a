# SPDX-License-Identifier: GPL-2.0-only
"""A VM, and the calls that it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call, Conduit
from suites.conftest import MakeVm
from suites.left_behind.growth import Meter
from suites.left_behind.refusals import RefusalPlace, RefusedCall, refused_calls

_NOBODY, _RESERVED = 0xFFFF00, 1 << 24
REFUSED_GUEST_CALLS = tuple(
    Call(function, args, conduit)
    for conduit in (Conduit.HVC, Conduit.SMC)
    for function, args in (
        (0xC4000003, (_NOBODY, 0, 0)), (0xC4000003, (_RESERVED, 0, 0)), (0x84000003, (0, 0, 0)),
        (0xC4000004, (_NOBODY, 0)), (0x84000004, (0, 9)), (0x84000012, (1, 0)), (0xC4000012, (1, 0)),
        (0x8400000A, (0x84000050,)), (0x84000005, ()), (0x8400001F, ()), (0x84000099, ()), (0xC6009999, ()),
        (0x80000001, (0xFFFFFFFF,)), (0xC5000020, (0x1234,)), (0xC4000053, (0xC1,)), (0x86000001, (9,)), (0, ()),
    )
) + tuple(Call(0x84000050, (), conduit) for conduit in (Conduit.SMC_1, Conduit.SMC_FFFF))  # fmt: skip
"""Calls with wrong arguments, of unknown functions, and with immediates: the guest gets an error and continues."""
FEW_GUEST_CALLS = (*REFUSED_GUEST_CALLS[0:5:3], *REFUSED_GUEST_CALLS[5:15:4], *REFUSED_GUEST_CALLS[-1:])
"""One for each function of KVM that handles them, where the time of a call matters."""


@dataclass(frozen=True)
class RefusingVm:
    """A VM with two vCPUs and two uninitialised ones, the calls that it refuses, by name, and its PSCI_VERSION."""

    vm: Vm
    place: RefusalPlace
    refused: frozenset[str]
    version: int

    def make_all(self, p: KvmProgram, guest: Sequence[Call]) -> None:
        """Appends the refused calls, and if the VM has run, those of ``guest``."""
        for call in self.calls(p):
            call.make(p)
        if self.place.locked:
            self.guest_calls(p, guest)

    def guest_calls(self, p: KvmProgram, calls: Sequence[Call]) -> None:
        """Appends a run in which the guest makes the calls."""
        guests.put_calls(p, self.vm.memory, calls)
        p.run(self.vm.vcpu.fd)

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
