# SPDX-License-Identifier: GPL-2.0-only
"""Several threads access one VM's registers, while other VMs are created and closed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.contract.linearizability import EventKind, HistoryEvent, ThreadHistory, one_order, show_history
from helpers.contract.registers import Register
from helpers.errors import NotMeasured
from helpers.executor.program import Answer, Arg
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import KvmProgram, RegRead
from suites.concurrency.sample import TORN, chances
from suites.conftest import MakeVm, Note
from suites.support.threads import arrangements, join_race, run_alone, run_to_the_end, sleep, timespec

ROUNDS, BUSY, RARE = 40, 10, 3
MOST_BUSY, OVERLAPS = 160, ROUNDS // 10
"""The most continuous writes in a round, and the number of rounds that must overlap.

The number of writes grows until, in OVERLAPS rounds, both other threads made a call during the writes. With MOST_BUSY
writes one such round is enough. Without any, the rounds are repeated until the test's timeout is used up.
"""
SHORTEST_NS, LONGEST_NS = 10_000, 500_000
"""The range of the sleep before each call of the other threads."""
LIVES = 25
WRITES_PER_READ = 2
"""The writes must not end before the reads, which take about as long."""
READS_AT_ONCE = 500
"""Reads in one round trip. On a host whose calls take milliseconds, more would not end before the deadline."""
SHARE_OF_TIMEOUT = 0.5
"""After this share of the test's timeout, no more reads are made."""
MARK = 0xA5A5_A5A5_A5A5_A5A5
"""The value of the memory before each read."""


@dataclass
class _Round:
    """References to the results of one round. ``begin`` and ``end`` are the times around the continuous writes."""

    begin: Arg
    busy: list[tuple[int, Arg]]
    end: Arg
    rare: list[tuple[int, Arg]] = field(default_factory=list)
    reads: list[RegRead] = field(default_factory=list)
    rare_at: list[Arg] = field(default_factory=list)
    read_at: list[Arg] = field(default_factory=list)
    final: RegRead | None = None

    def threads(self, answer: Answer) -> tuple[ThreadHistory, ...]:
        return (
            tuple(HistoryEvent(EventKind.SET, v, answer[r].errno) for v, r in self.busy),
            tuple(HistoryEvent(EventKind.SET, v, answer[r].errno) for v, r in self.rare),
            tuple(HistoryEvent(EventKind.GET, read.value(answer), read.errno(answer)) for read in self.reads),
        )

    def overlaps(self, answer: Answer) -> bool:
        """Whether each of the other threads began a call during the continuous writes."""
        begin, end = answer[self.begin].ret, answer[self.end].ret
        return all(any(begin < answer[at].ret < end for at in calls) for calls in (self.rare_at, self.read_at))


def _pause_ns(number: int) -> int:
    """The sleep in round ``number``. It grows: on a slow kernel, a short sleep ends before the first write."""
    return int(SHORTEST_NS * (LONGEST_NS / SHORTEST_NS) ** (number / ROUNDS))


class _Writers:
    """One program of ROUNDS rounds. ``busy`` is the number of continuous writes in each."""

    def __init__(self, register: Register, vm: Vm, busy: int, *, together: bool) -> None:
        self.register, self.vm, self.together = register, vm, together
        self.program = KvmProgram(deadline_ms=60_000)
        self.writes = {v: self.program.one_reg(register, v) for v in register.subsets()}
        self.rounds: list[_Round] = []
        with self.program.concurrently() as stage:
            with stage.thread():
                self._write_on(busy)
            # The timers of these threads expire while the first one is inside a call.
            with stage.thread():
                self._write_sometimes()
            with stage.thread():
                self._read()

    def _join(self, rank: int) -> None:
        join_race(self.program, self.vm.kvm.placement, rank, core=0 if self.together else rank)

    def _write_on(self, busy: int) -> None:
        program, values, vcpu = self.program, self.register.subsets(), self.vm.vcpus[0]
        final = program.one_reg(self.register, MARK)
        self._join(0)
        for _ in range(ROUNDS):
            program.barrier()
            begin = program.clock(time.CLOCK_MONOTONIC)
            writes = [(v, program.set_reg(vcpu.fd, self.writes[v])) for v in (values * busy)[:busy]]
            one = _Round(begin, writes, program.clock(time.CLOCK_MONOTONIC))
            program.barrier()
            one.final = program.get_reg(vcpu.fd, final)
            self.rounds.append(one)

    def _write_sometimes(self) -> None:
        program, values = self.program, self.register.subsets()
        self._join(1)
        for n, one in enumerate(self.rounds):
            length = timespec(program, _pause_ns(n))
            program.barrier()
            for v in values[:RARE]:
                sleep(program, length)
                one.rare_at.append(program.clock(time.CLOCK_MONOTONIC))
                one.rare.append((v, program.set_reg(self.vm.vcpus[1].fd, self.writes[v])))
            program.barrier()

    def _read(self) -> None:
        program, read = self.program, self.program.one_reg(self.register, MARK)
        self._join(2)
        for n, one in enumerate(self.rounds):
            length = timespec(program, _pause_ns(n) * 4 // 3)
            program.barrier()
            for _ in range(RARE):
                sleep(program, length)
                one.read_at.append(program.clock(time.CLOCK_MONOTONIC))
                one.reads.append(program.get_reg(self.vm.vcpus[2].fd, read))
            program.barrier()

    def check(self, before: int) -> tuple[int, int]:
        """``before`` is the register's first value. Returns the last one, and the number of rounds that overlap."""
        register, comparison, overlaps = self.register, Comparison(), 0
        answer = run_to_the_end(self.vm.kvm, self.program, f"A race of writers and a reader of {register.name}")
        for number, one in enumerate(self.rounds):
            assert one.final is not None
            threads, after = one.threads(answer), one.final.value(answer)
            comparison.error(f"KVM_GET_ONE_REG {register.name} after round {number}", 0, one.final.errno(answer))
            comparison.that(
                one_order(threads, after, reset=before, mask=register.mask),
                f"round {number} of {register.name}, which held {before:#x}",
                "answers that agree with one order of these calls", show_history(threads, after),
            )  # fmt: skip
            before, overlaps = after, overlaps + one.overlaps(answer)
        comparison.done()
        return before, overlaps


@pytest.mark.clause("RACE-2")
def test_writers_and_a_reader(register: Register, make_vm: MakeVm, renew_deadline: Callable[[], float]) -> None:
    """One vCPU writes continuously, another sometimes, and a third one reads."""
    vm, value = make_vm(3), register.reset
    for together in arrangements(vm.kvm):
        busy, overlaps, until = BUSY, 0, time.monotonic() + renew_deadline()
        while overlaps < OVERLAPS:
            renew_deadline()
            value, overlaps_now = _Writers(register, vm, busy, together=together).check(value)
            overlaps += overlaps_now
            if busy == MOST_BUSY and (overlaps or time.monotonic() >= until):
                break
            busy = min(4 * busy, MOST_BUSY)
        if not overlaps:
            raise NotMeasured(f"in no round did both other threads make calls during {busy} writes of {register.name}")


def _compare_reads(comparison: Comparison, vm: Vm, register: Register) -> None:
    """READS_AT_ONCE reads through one vCPU, while another one writes the value that the register already has."""
    program, value = KvmProgram(deadline_ms=60_000), register.mask
    writer, reader = program.one_reg(register, value), program.one_reg(register, MARK)
    with program.concurrently() as stage:
        with stage.thread(repeat=READS_AT_ONCE * WRITES_PER_READ):
            done = program.set_reg(vm.vcpus[0].fd, writer)
        with stage.thread(repeat=READS_AT_ONCE):
            read = program.get_reg(vm.vcpus[1].fd, reader)
    answer = run_to_the_end(vm.kvm, program, f"A race of reads of {register.name}")
    for result in answer.results[done.index]:
        comparison.error(f"{register.name} = {value:#x}", 0, result.errno)
    for turn, word in enumerate(read.values(answer)):
        comparison.value(f"read {turn} during writes of {value:#x} to {register.name}", value, word)


@pytest.mark.clause("RACE-2")
def test_same_value(
    register: Register,
    registers: tuple[Register, ...],
    make_vm: MakeVm,
    renew_deadline: Callable[[], float],
    note: Note,
) -> None:
    """While a vCPU writes the value that the register already has, each read gives that value."""
    vm, comparison = make_vm(2), Comparison()
    vm.vcpu.set_reg(register, register.mask)
    reads, wanted = 0, chances(TORN, len(registers), margin=1)
    until = time.monotonic() + renew_deadline() * SHARE_OF_TIMEOUT
    while not reads or (reads < wanted and time.monotonic() < until):
        renew_deadline()
        _compare_reads(comparison, vm, register)
        reads += READS_AT_ONCE
    if reads < wanted:
        note(f"{reads} instead of {wanted} reads of {register.name} during writes, because this host is slow")
    comparison.done()


def _check_lives(register: Register, answer: Answer, lives: list[tuple[int, RegRead, Arg, RegRead]]) -> None:
    comparison = Comparison()
    for value, fresh, done, written in lives:
        before, after = fresh.values(answer), written.values(answer)
        for n in range(LIVES):
            comparison.value(f"{register.name} of VM {n}, fresh", register.reset, before[n])
            comparison.error(f"{register.name} = {value:#x} in VM {n}", 0, answer.results[done.index][n].errno)
            comparison.value(f"{register.name} of VM {n} after the write", value, after[n])
    comparison.done()


def _check_stays(register: Register, answer: Answer, stays: list[tuple[int, Arg, RegRead]]) -> None:
    comparison = Comparison()
    for value, done, read in stays:
        for result, word in zip(answer.results[done.index], read.values(answer), strict=True):
            comparison.error(f"{register.name} = {value:#x} in the VM that stays", 0, result.errno)
            comparison.value(f"{register.name} of that VM after the write", value, word)
    comparison.done()


@pytest.mark.clause("RACE-3")
def test_vms_come_and_go(register: Register, kvm: Kvm, make_vm: MakeVm) -> None:
    """Two threads create, write, read and close VMs, while a third one writes and reads a VM that stays."""
    vm, program = make_vm(2), KvmProgram(deadline_ms=60_000)
    values = register.subsets()
    writes = {v: program.one_reg(register, v) for v in values}
    _, init = program.prepare_init(vm.fd, ())
    reader = program.one_reg(register, MARK)
    stays, lives = [], []
    with program.concurrently() as stage:
        for number in range(2):
            with stage.thread(repeat=LIVES):
                other = program.create_vm(kvm.fd, kvm.vm_type)
                vcpu = program.create_vcpu(other, 0)
                program.init_vcpu(vcpu, init)
                value = values[number % len(values)]
                before = program.get_reg(vcpu, reader)
                done = program.set_reg(vcpu, writes[value])
                lives.append((value, before, done, program.get_reg(vcpu, reader)))
                program.close(vcpu)
                program.close(other)
        with stage.thread(repeat=LIVES * 4):
            for value in values:
                sleep(program, 100_000)
                done = program.set_reg(vm.vcpus[0].fd, writes[value])
                stays.append((value, done, program.get_reg(vm.vcpus[1].fd, reader)))
    answer = run_alone(kvm, program)
    if answer.expired:
        raise KvmError(f"Writes of {register.name} while VMs are created and closed did not end before the deadline")
    _check_lives(register, answer, lives)
    _check_stays(register, answer, stays)
