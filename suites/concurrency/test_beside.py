# SPDX-License-Identifier: GPL-2.0-only
"""Several threads at one VM's registers, and other VMs beside it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest

from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.contract.linearizability import EventKind, HistoryEvent, ThreadHistory, one_order, show_history
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg, OpResult, Program
from helpers.kvm import Kvm, Vm
from helpers.uapi import kvm as uapi
from suites.concurrency.threads import real_time, sleep
from suites.conftest import MakeVm

ROUNDS, BUSY, RARE = 150, 10, 3
LIVES = 25


class _Register:
    """ONE_REG calls of one register in a program, at memory that is made once."""

    def __init__(self, program: Program, register: Register) -> None:
        self.program, self.id = program, register.id
        self.values = {v: self._struct(program.scratch_bytes(struct.pack("<Q", v))) for v in register.subsets()}

    def _struct(self, at: Arg) -> Arg:
        arg = self.program.scratch_bytes(struct.pack("<Q", self.id) + bytes(8))
        self.program.poke_address(arg + 8, at)
        return arg

    def reader(self) -> tuple[Arg, Arg]:
        """The argument and the memory of a GET; each thread needs one of its own."""
        at = self.program.scratch_bytes(b"\xa5" * 8)
        return self._struct(at), at

    def set(self, fd: int | Arg, value: int) -> Arg:
        return self.program.ioctl(fd, uapi.KVM_SET_ONE_REG, self.values[value])

    def get(self, fd: int | Arg, reader: tuple[Arg, Arg]) -> tuple[Arg, Arg]:
        return self.program.ioctl(fd, uapi.KVM_GET_ONE_REG, reader[0]), self.program.peek(reader[1], 8)


def _word(data: bytes) -> int:
    return int(struct.unpack("<Q", data)[0])


@dataclass
class _Round:
    """References to what one round's threads were told."""

    busy: list[tuple[int, Arg]]
    rare: list[tuple[int, Arg]] = field(default_factory=list)
    reads: list[tuple[Arg, Arg]] = field(default_factory=list)
    final: tuple[Arg, Arg] | None = None

    def threads(self, answer: Answer) -> tuple[ThreadHistory, ...]:
        return (
            tuple(HistoryEvent(EventKind.SET, v, answer[r].errno) for v, r in self.busy),
            tuple(HistoryEvent(EventKind.SET, v, answer[r].errno) for v, r in self.rare),
            tuple(HistoryEvent(EventKind.GET, _word(answer[m].data), answer[g].errno) for g, m in self.reads),
        )


def _busy_and_rare(program: Program, register: Register, vm: Vm) -> list[_Round]:
    calls, values, rounds = _Register(program, register), register.subsets(), []
    final, seen = calls.reader(), calls.reader()
    with program.concurrently() as stage:
        with stage.thread():
            for _ in range(ROUNDS):
                program.barrier()
                one = _Round([(v, calls.set(vm.vcpus[0].fd, v)) for v in (values * BUSY)[:BUSY]])
                program.barrier()
                one.final = calls.get(vm.vcpus[0].fd, final)
                rounds.append(one)
        # Real-time threads whose timers strike while the first one is inside a call.
        with stage.thread():
            real_time(program, 1)
            for n, one in enumerate(rounds):
                program.barrier()
                for v in values[:RARE]:
                    sleep(program, 10_000 + n * 500)
                    one.rare.append((v, calls.set(vm.vcpus[1].fd, v)))
                program.barrier()
        with stage.thread():
            real_time(program, 2)
            for n, one in enumerate(rounds):
                program.barrier()
                for _ in range(RARE):
                    sleep(program, 15_000 + n * 300)
                    one.reads.append(calls.get(vm.vcpus[2].fd, seen))
                program.barrier()
    return rounds


@pytest.mark.clause("RACE-2")
def test_writers_and_a_reader(register: Register, make_vm: MakeVm) -> None:
    """One vCPU writes all the time, another now and then, a third reads."""
    vm, program = make_vm(3), Program(deadline_ms=60_000)
    rounds = _busy_and_rare(program, register, vm)
    answer = vm.kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"Writers and a reader of {register.name} did not end before the deadline")
    comparison, before = Comparison(), register.reset
    for number, one in enumerate(rounds):
        assert one.final is not None
        got, at = one.final
        threads, after = one.threads(answer), _word(answer[at].data)
        comparison.error(f"KVM_GET_ONE_REG {register.name} after round {number}", 0, answer[got].errno)
        comparison.that(
            one_order(threads, after, reset=before, mask=register.mask),
            f"round {number} of {register.name}, which held {before:#x}",
            "answers that some order of these calls explains", show_history(threads, after),
        )  # fmt: skip
        before = after
    comparison.done()


Results = tuple[tuple[OpResult, ...], ...]
Got = tuple[Arg, Arg]


def _check_lives(register: Register, results: Results, lives: list[tuple[int, Got, Arg, Got]]) -> None:
    comparison = Comparison()
    for value, (_, fresh), done, (_, written) in lives:
        for n in range(LIVES):
            comparison.value(f"{register.name} of VM {n}, fresh", register.reset, _word(results[fresh.index][n].data))
            comparison.error(f"{register.name} = {value:#x} in VM {n}", 0, results[done.index][n].errno)
            comparison.value(f"{register.name} after that", value, _word(results[written.index][n].data))
    comparison.done()


def _check_stays(register: Register, results: Results, stays: list[tuple[int, Arg, Got]]) -> None:
    comparison = Comparison()
    for value, done, (_, at) in stays:
        for told, read in zip(results[done.index], results[at.index], strict=True):
            comparison.error(f"{register.name} = {value:#x} in the VM that stays", 0, told.errno)
            comparison.value(f"{register.name} there after that", value, _word(read.data))
    comparison.done()


@pytest.mark.clause("RACE-3")
def test_vms_come_and_go(register: Register, kvm: Kvm, make_vm: MakeVm) -> None:
    """Two threads make, write, read and close VMs, while a third writes and reads one that stays."""
    vm, program = make_vm(2), Program(deadline_ms=60_000)
    calls, values = _Register(program, register), register.subsets()
    init = program.scratch(uapi.ffi.sizeof("struct kvm_vcpu_init"))
    program.ioctl(vm.fd, uapi.KVM_ARM_PREFERRED_TARGET, init)
    readers = [(calls.reader(), calls.reader()) for _ in range(2)]
    own = calls.reader()
    stays, lives = [], []
    with program.concurrently() as stage:
        for number, (fresh, written) in enumerate(readers):
            with stage.thread(repeat=LIVES):
                other = program.ioctl(kvm.fd, uapi.KVM_CREATE_VM)
                vcpu = program.ioctl(other, uapi.KVM_CREATE_VCPU, 0)
                program.ioctl(vcpu, uapi.KVM_ARM_VCPU_INIT, init)
                value = values[number % len(values)]
                lives.append((value, calls.get(vcpu, fresh), calls.set(vcpu, value), calls.get(vcpu, written)))
                program.close(vcpu)
                program.close(other)
        with stage.thread(repeat=LIVES * 4):
            for value in values:
                sleep(program, 100_000)
                stays.append((value, calls.set(vm.vcpus[0].fd, value), calls.get(vm.vcpus[1].fd, own)))
    answer = kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"VMs that come and go beside {register.name} did not end before the deadline")
    _check_lives(register, answer.results, lives)
    _check_stays(register, answer.results, stays)
