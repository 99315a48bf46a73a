# SPDX-License-Identifier: GPL-2.0-only
"""Several threads access one VM's registers, with other VMs beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.contract.linearizability import EventKind, HistoryEvent, ThreadHistory, one_order, show_history
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg, OpResult
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import KvmProgram, RegRead
from suites.concurrency.threads import real_time, sleep
from suites.conftest import MakeVm

ROUNDS, BUSY, RARE = 150, 10, 3
LIVES = 25
MARK = 0xA5A5_A5A5_A5A5_A5A5
"""The value of the memory before a read. Each thread has its own memory."""


@dataclass
class _Round:
    """References to the results of one round."""

    busy: list[tuple[int, Arg]]
    rare: list[tuple[int, Arg]] = field(default_factory=list)
    reads: list[RegRead] = field(default_factory=list)
    final: RegRead | None = None

    def threads(self, answer: Answer) -> tuple[ThreadHistory, ...]:
        return (
            tuple(HistoryEvent(EventKind.SET, v, answer[r].errno) for v, r in self.busy),
            tuple(HistoryEvent(EventKind.SET, v, answer[r].errno) for v, r in self.rare),
            tuple(HistoryEvent(EventKind.GET, read.value(answer), read.errno(answer)) for read in self.reads),
        )


def _busy_and_rare(program: KvmProgram, register: Register, vm: Vm) -> list[_Round]:
    values, rounds = register.subsets(), []
    writes = {v: program.one_reg(register, v) for v in values}
    final, read = program.one_reg(register, MARK), program.one_reg(register, MARK)
    with program.concurrently() as stage:
        with stage.thread():
            for _ in range(ROUNDS):
                program.barrier()
                one = _Round([(v, program.set_reg(vm.vcpus[0].fd, writes[v])) for v in (values * BUSY)[:BUSY]])
                program.barrier()
                one.final = program.get_reg(vm.vcpus[0].fd, final)
                rounds.append(one)
        # Real-time threads whose timers expire while the first one is inside a call.
        with stage.thread():
            real_time(program, 1)
            for n, one in enumerate(rounds):
                program.barrier()
                for v in values[:RARE]:
                    sleep(program, 10_000 + n * 500)
                    one.rare.append((v, program.set_reg(vm.vcpus[1].fd, writes[v])))
                program.barrier()
        with stage.thread():
            real_time(program, 2)
            for n, one in enumerate(rounds):
                program.barrier()
                for _ in range(RARE):
                    sleep(program, 15_000 + n * 300)
                    one.reads.append(program.get_reg(vm.vcpus[2].fd, read))
                program.barrier()
    return rounds


@pytest.mark.clause("RACE-2")
def test_writers_and_a_reader(register: Register, make_vm: MakeVm) -> None:
    """One vCPU writes continuously, another sometimes, and a third one reads."""
    vm, program = make_vm(3), KvmProgram(deadline_ms=60_000)
    rounds = _busy_and_rare(program, register, vm)
    answer = vm.kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"Writers and a reader of {register.name} did not end before the deadline")
    comparison, before = Comparison(), register.reset
    for number, one in enumerate(rounds):
        assert one.final is not None
        threads, after = one.threads(answer), one.final.value(answer)
        comparison.error(f"KVM_GET_ONE_REG {register.name} after round {number}", 0, one.final.errno(answer))
        comparison.that(
            one_order(threads, after, reset=before, mask=register.mask),
            f"round {number} of {register.name}, which held {before:#x}",
            "answers that some order of these calls explains", show_history(threads, after),
        )  # fmt: skip
        before = after
    comparison.done()


Results = tuple[tuple[OpResult, ...], ...]


def _word(results: Results, read: RegRead, turn: int) -> int:
    return int.from_bytes(results[read.memory.index][turn].data, "little")


def _check_lives(register: Register, results: Results, lives: list[tuple[int, RegRead, Arg, RegRead]]) -> None:
    comparison = Comparison()
    for value, fresh, done, written in lives:
        for n in range(LIVES):
            comparison.value(f"{register.name} of VM {n}, fresh", register.reset, _word(results, fresh, n))
            comparison.error(f"{register.name} = {value:#x} in VM {n}", 0, results[done.index][n].errno)
            comparison.value(f"{register.name} after that", value, _word(results, written, n))
    comparison.done()


def _check_stays(register: Register, results: Results, stays: list[tuple[int, Arg, RegRead]]) -> None:
    comparison = Comparison()
    for value, done, read in stays:
        for turn, result in enumerate(results[done.index]):
            comparison.error(f"{register.name} = {value:#x} in the VM that stays", 0, result.errno)
            comparison.value(f"{register.name} there after that", value, _word(results, read, turn))
    comparison.done()


@pytest.mark.clause("RACE-3")
def test_vms_come_and_go(register: Register, kvm: Kvm, make_vm: MakeVm) -> None:
    """Two threads create, write, read and close VMs, while a third one writes and reads a VM that stays."""
    vm, program = make_vm(2), KvmProgram(deadline_ms=60_000)
    values = register.subsets()
    writes = {v: program.one_reg(register, v) for v in values}
    _, init = program.prepare_init(vm.fd, ())
    readers = [(program.one_reg(register, MARK), program.one_reg(register, MARK)) for _ in range(2)]
    own = program.one_reg(register, MARK)
    stays, lives = [], []
    with program.concurrently() as stage:
        for number, (fresh, written) in enumerate(readers):
            with stage.thread(repeat=LIVES):
                other = program.create_vm(kvm.fd, kvm.vm_type)
                vcpu = program.create_vcpu(other, 0)
                program.init_vcpu(vcpu, init)
                value = values[number % len(values)]
                before = program.get_reg(vcpu, fresh)
                done = program.set_reg(vcpu, writes[value])
                lives.append((value, before, done, program.get_reg(vcpu, written)))
                program.close(vcpu)
                program.close(other)
        with stage.thread(repeat=LIVES * 4):
            for value in values:
                sleep(program, 100_000)
                done = program.set_reg(vm.vcpus[0].fd, writes[value])
                stays.append((value, done, program.get_reg(vm.vcpus[1].fd, own)))
    answer = kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"VMs that come and go beside {register.name} did not end before the deadline")
    _check_lives(register, answer.results, lives)
    _check_stays(register, answer.results, stays)
