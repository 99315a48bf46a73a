# SPDX-License-Identifier: GPL-2.0-only
"""Many rounds of one race in one round trip: VMs made beforehand, threads that meet at a barrier for each of them.

One processor is enough. The thread that runs the vCPU is a real-time one that sleeps: when its timer strikes, it takes
the processor from the writer in the middle of a system call, wherever that is, as long as the kernel is preemptible.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from helpers import guests
from helpers.batch import KvmError
from helpers.contract.linearizability import EventKind, HistoryEvent, ThreadHistory
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg
from helpers.guest_layout import MEMORY_IPA, MEMORY_SIZE
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import PC, KvmProgram, RegRead
from helpers.smccc import Call
from suites.concurrency.threads import real_time, sleep, timespec

RUNNER_PRIORITY, WRITER_PRIORITY = 2, 1
"""A runner arms its timer before a writer on its processor writes."""
CLOSERS = 16
"""Threads that destroy VMs: each waits for RCU's grace periods, which they share."""


@dataclass(frozen=True)
class RegisterView:
    """A call that shows the guest a register's value, and how to tell it from x0..x3."""

    call: Call
    value: Callable[[tuple[int, ...]], int]


@dataclass(frozen=True)
class Race:
    """``writers`` holds what each writer sets, in order; each runner has a vCPU of its own, the first the guest."""

    register: Register
    writers: tuple[tuple[int, ...], ...]
    runners: int = 1
    view: RegisterView | None = None
    """What the first runner's guest asks; None for a run that ends before the guest (immediate_exit)."""


@dataclass(frozen=True)
class Round:
    """What the threads of one round were told, and what the register holds after them."""

    threads: tuple[ThreadHistory, ...]
    final: int
    delay: int
    """How long the first runner slept, ns."""

    @property
    def landed(self) -> int | None:
        """How many writes were told before their writer's first refused one; None where none was refused."""
        told = [[e.errno for e in t] for t in self.threads if t[0].kind is EventKind.SET]
        before = [t.index(errno.EBUSY) if errno.EBUSY in t else len(t) for t in told]
        return sum(before) if any(errno.EBUSY in t for t in told) else None


@dataclass
class Pace:
    """How long the runners sleep (ns): learnt, so that runs fall around the first writes."""

    low: int = 1_000
    high: int = 500_000

    def delays(self, rounds: int) -> list[int]:
        """One for each round, evenly spread."""
        return [self.low + (self.high - self.low) * i // rounds for i in range(rounds)]

    def learn(self, rounds: Sequence[Round]) -> None:
        """Centres the delays on where runs begin to come after the first write."""
        best = wrong = sum(r.landed == 0 for r in rounds)
        edge = 0
        for r in sorted(rounds, key=lambda r: r.delay):
            wrong += -1 if r.landed == 0 else 1
            if wrong <= best:
                best, edge = wrong, r.delay
        edge = edge or self.low // 2
        self.low, self.high = edge * 9 // 10, max(edge * 13 // 10, 10_000)


@dataclass
class _Made:
    """One round's part of the program: references to its results."""

    vm: Arg
    vcpus: list[Arg]
    sets: list[list[tuple[int, Arg]]] = field(default_factory=list)
    runs: list[tuple[Arg, RegRead]] = field(default_factory=list)
    mailbox: Arg | None = None
    final: RegRead | None = None


class _Builder:
    def __init__(self, kvm: Kvm, race: Race, delays: Sequence[int]) -> None:
        self.kvm, self.race, self.delays = kvm, race, delays
        self.program = p = KvmProgram(deadline_ms=60_000)
        self.sets = {v: p.one_reg(race.register, v) for values in race.writers for v in values}
        self.entry = p.one_reg(PC, MEMORY_IPA)
        self.memory = p.guest_memory(kvm.image)
        self.region = p.memory_region(self.memory)
        vm = p.create_vm(kvm.fd)
        _, self.init = p.prepare_init(vm, PSCI_0_2)
        p.close(vm)
        self.rounds = [self._round() for _ in delays]
        self._threads()
        self._finish()

    def _round(self) -> _Made:
        p, race = self.program, self.race
        vm = p.create_vm(self.kvm.fd)
        if race.view:
            p.add_memory(vm, self.region)
        count = race.runners + len(race.writers)
        made = _Made(vm, [p.create_vcpu(vm, i) for i in range(count)])
        for vcpu in made.vcpus:
            p.init_vcpu(vcpu, self.init)
        for i, vcpu in enumerate(made.vcpus[: race.runners]):
            if i == 0 and race.view:
                p.set_reg(vcpu, self.entry)
            else:
                run = p.map_run(vcpu, self.kvm.run_size)
                p.set_immediate_exit(run, True)
                p.munmap(run, self.kvm.run_size)
        return made

    def _threads(self) -> None:
        with self.program.concurrently() as stage:
            for i in range(self.race.runners):
                with stage.thread():
                    real_time(self.program, RUNNER_PRIORITY)
                    for made, delay in zip(self.rounds, self.delays, strict=True):
                        self._run(made, i, delay * (4 + i) // 4)
            for i, values in enumerate(self.race.writers):
                with stage.thread():
                    real_time(self.program, WRITER_PRIORITY)
                    for made in self.rounds:
                        self._write(made, made.vcpus[self.race.runners + i], values)

    def _run(self, made: _Made, index: int, delay: int) -> None:
        p, view, vcpu = self.program, self.race.view if index == 0 else None, made.vcpus[index]
        if view:
            guests.put_calls(p, self.memory, [view.call])
        value, length = p.one_reg(self.race.register), timespec(p, delay)
        p.barrier()
        sleep(p, length)
        run = p.run(vcpu, immediate_exit=view is None)
        made.runs.append((run, p.get_reg(vcpu, value)))
        if view:
            made.mailbox = guests.take_calls(p, run, self.memory, [view.call])

    def _write(self, made: _Made, vcpu: Arg, values: Sequence[int]) -> None:
        p = self.program
        p.barrier()
        made.sets.append([(v, p.set_reg(vcpu, self.sets[v])) for v in values])

    def _finish(self) -> None:
        p = self.program
        for made in self.rounds:
            made.final = p.get_reg(made.vcpus[-1], p.one_reg(self.race.register))
        with p.concurrently() as stage:
            for i in range(CLOSERS):
                with stage.thread():
                    for made in self.rounds[i::CLOSERS]:
                        for fd in (*made.vcpus, made.vm):
                            p.close(fd)
        p.munmap(self.memory, MEMORY_SIZE)


def _read(race: Race, made: _Made, answer: Answer, delay: int) -> Round:
    threads: list[ThreadHistory] = []
    for i, (run, got) in enumerate(made.runs):
        told = answer[run].errno
        if told != (0 if i == 0 and race.view else errno.EINTR):
            raise KvmError(f"KVM_RUN on vCPU {i} gave {answer[run].error} in a race of {race.register.name}")
        seen = [HistoryEvent(EventKind.GET, got.value(answer))]
        if i == 0 and race.view and made.mailbox is not None:
            result = guests.read(answer[made.mailbox].data)[0]
            seen.append(HistoryEvent(EventKind.SEEN, race.view.value(result.x0_3)))
        threads.append((HistoryEvent(EventKind.RUN), *seen))
    for told_sets in made.sets:
        threads.append(tuple(HistoryEvent(EventKind.SET, value, answer[done].errno) for value, done in told_sets))
    assert made.final is not None
    return Round(tuple(threads), made.final.value(answer), delay)


def run_rounds(kvm: Kvm, race: Race, delays: Sequence[int]) -> list[Round]:
    """One round for each delay (ns), each with a fresh VM, in one round trip. Raises KvmError."""
    builder = _Builder(kvm, race, delays)
    answer = kvm.subject.run(builder.program)
    if answer.expired:
        raise KvmError(f"A race of {race.register.name} did not end before the deadline")
    return [_read(race, made, answer, delay) for made, delay in zip(builder.rounds, delays, strict=True)]
