# SPDX-License-Identifier: GPL-2.0-only
"""One thread writes a register while another creates vCPUs, initialises one again and reads its list."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from helpers.contract.registers import Register
from helpers.executor.program import Arg
from helpers.kvm import PSCI_0_2, Vm
from helpers.kvm_program import KvmProgram, RegList, RegRead
from suites.conftest import MakeVm
from suites.support.threads import arrangements, join_race, run_to_the_end

VCPUS, INITS = 4, 8
"""vCPUs that are created, and how often another vCPU is initialised again before each."""
WRITES = 200


class _Race:
    """One program, and the references to its results."""

    def __init__(self, vm: Vm, register: Register, ids: int) -> None:
        self.program = KvmProgram(deadline_ms=60_000)
        self.writes: list[tuple[int, Arg, RegRead]] = []
        self.inits: list[Arg] = []
        self.lists: list[RegList] = []
        self._vm, self._register, self._ids = vm, register, ids
        with self.program.concurrently() as stage:
            with stage.thread():
                self._write()
            with stage.thread():
                self._create()

    def _join(self, rank: int) -> None:
        together = arrangements(self._vm.kvm)[0]
        join_race(self.program, self._vm.kvm.placement, rank, core=0 if together else rank)

    def _write(self) -> None:
        program, values, fd = self.program, self._register.subsets(), self._vm.vcpu.fd
        self._join(0)
        setters, reader = [program.one_reg(self._register, v) for v in values], program.one_reg(self._register)
        program.barrier()
        for number in range(WRITES):
            setter = setters[number % len(values)]
            self.writes.append((setter.value, program.set_reg(fd, setter), program.get_reg(fd, reader)))

    def _create(self) -> None:
        program, vm = self.program, self._vm
        self._join(1)
        _, init = program.prepare_init(vm.fd, PSCI_0_2)
        program.barrier()
        for number in range(VCPUS):
            self.inits += [program.init_vcpu(vm.vcpus[1].fd, init) for _ in range(INITS)]
            vcpu = program.create_vcpu(vm.fd, len(vm.vcpus) + number)
            self.inits += [vcpu, program.init_vcpu(vcpu, init)]
            self.lists.append(program.reg_list(vm.vcpus[1].fd, self._ids))
            program.close(vcpu)


@pytest.mark.clause("RACE-7")
def test_new_vcpus(register: Register, make_vm: MakeVm) -> None:
    """Each write keeps its value until the next one, and the list is complete."""
    vm, comparison = make_vm(2), Comparison()
    before = vm.vcpus[1].reg_list()
    race = _Race(vm, register, len(before))
    answer = run_to_the_end(vm.kvm, race.program, f"A race of {register.name} with new vCPUs")
    for number, (value, done, read) in enumerate(race.writes):
        what = f"write {number} of {register.name} while vCPUs are created"
        comparison.error(what, 0, answer[done].errno)
        comparison.value(f"{register.name} after {what}", value, read.value(answer))
    for each in race.inits:
        comparison.error(f"creating or initialising a vCPU during writes of {register.name}", 0, answer[each].errno)
    for listing in race.lists:
        comparison.error("KVM_GET_REG_LIST while vCPUs are created", 0, answer[listing.done].errno)
        _, ids = listing.listed(answer)
        comparison.that(list(ids) == before, "KVM_GET_REG_LIST while vCPUs are created", f"{before}", f"{list(ids)}")
    comparison.done()
