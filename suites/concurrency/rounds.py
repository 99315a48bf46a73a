# SPDX-License-Identifier: GPL-2.0-only
"""Many rounds of one race in one round trip. The VMs are created first, and each round begins at a barrier.

One processor is enough. The thread that runs the vCPU sleeps. When its timer expires, it preempts the writer in the
middle of a system call, if the kernel is preemptible. With more processors, every second round trip has the writer on
another processor, where it continues while the vCPU runs. If each thread has a processor, no thread sleeps, because
the timers of two emulated processors differ by more than the duration of a round's writes. Instead, one of the two
threads makes some reads first.
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
from helpers.kvm_program import PC, KvmProgram, OneReg, RegRead
from helpers.smccc import Call
from suites.support.threads import join_race, run_to_the_end, sleep

RUNNER_RANK, WRITER_RANK = 1, 0
"""Ranks for join_race(). The runner's is higher, so that it arms its timer before a writer on its processor writes."""
LEAD_NS = 200_000
"""How long a writer on a separate core sleeps first: the other threads may leave the barrier later than it does."""
MOST_CALLS = 200
"""The most reads before a run or before the first write."""
VMS_OF_A_CLOSER = 4
"""VMs that one thread closes, after another. Concurrent closes share the RCU grace periods for which they wait, but a
thread costs as much as a few closes in an emulator."""


@dataclass(frozen=True)
class RegisterView:
    """A call whose answer depends on a register's value, and how to get that value from x0..x3."""

    call: Call
    value: Callable[[tuple[int, ...]], int]


@dataclass(frozen=True)
class Race:
    """``writers`` has each writer's values in order. Each runner has a separate vCPU. The first may run a guest."""

    register: Register
    writers: tuple[tuple[int, ...], ...]
    runners: int = 1
    view: RegisterView | None = None
    """The first runner's guest call; None for a run that ends before the guest (immediate_exit)."""


@dataclass(frozen=True)
class Round:
    """The threads' calls with their answers in one round, and the register's final value."""

    threads: tuple[ThreadHistory, ...]
    final: int
    delay: int
    """The first runner's sleep (ns), or its number of reads: see CallPace."""

    @property
    def landed(self) -> int | None:
        """Number of writes before the first refused one, summed over the writers; None if none was refused."""
        errors = [[e.errno for e in t] for t in self.threads if t[0].kind is EventKind.SET]
        before = [each.index(errno.EBUSY) if errno.EBUSY in each else len(each) for each in errors]
        return sum(before) if any(errno.EBUSY in each for each in errors) else None


@dataclass
class Pace:
    """The range of the runners' sleep (ns), adapted so that runs fall around the first writes."""

    low: int = 1_000
    high: int = 500_000

    def delays(self, rounds: int) -> list[int]:
        """One for each round, evenly spread."""
        return [self.low + (self.high - self.low) * i // rounds for i in range(rounds)]

    def learn(self, rounds: Sequence[Round]) -> None:
        """Centres the delays on the shortest one whose run comes after the first write."""
        best = wrong = sum(r.landed == 0 for r in rounds)
        edge = 0
        for r in sorted(rounds, key=lambda r: r.delay):
            wrong += -1 if r.landed == 0 else 1
            if wrong <= best:
                best, edge = wrong, r.delay
        edge = edge or self.low // 2
        self.low, self.high = edge * 9 // 10, max(edge * 13 // 10, 10_000)


@dataclass
class CallPace(Pace):
    """A pace in reads, for threads that do not sleep: the runner's reads or, if negative, the writer's."""

    low: int = -5
    high: int = 5

    def learn(self, rounds: Sequence[Round]) -> None:
        """Moves the mean run to the middle of the writes. A call takes about as long as a write, on any host."""
        writes = max(len(t) for t in rounds[0].threads if t[0].kind is EventKind.SET)
        positions = [writes if r.landed is None else r.landed for r in rounds]
        shift = writes // 2 - sum(positions) // len(positions)
        low = max(-MOST_CALLS, min(MOST_CALLS, self.low + shift))
        self.low, self.high = low, low + self.high - self.low


def apart(kvm: Kvm, race: Race, *, together: bool) -> bool:
    """Whether the one runner and the one writer have a processor each. Then no thread sleeps: see CallPace."""
    return not together and race.runners == len(race.writers) == 1 and len(kvm.placement.cores) > 1


@dataclass
class _RoundResults:
    """References to the results of one round."""

    vm: Arg
    vcpus: list[Arg]
    sets: list[list[tuple[int, Arg]]] = field(default_factory=list)
    runs: list[tuple[Arg, RegRead]] = field(default_factory=list)
    mailbox: Arg | None = None
    final: RegRead | None = None


class _Builder:
    def __init__(self, kvm: Kvm, race: Race, delays: Sequence[int], *, together: bool) -> None:
        self.kvm, self.race, self.delays, self.together = kvm, race, delays, together
        self.apart = apart(kvm, race, together=together)
        self.program = p = KvmProgram(deadline_ms=60_000)
        self.sets = {v: p.one_reg(race.register, v) for values in race.writers for v in values}
        self.entry = p.one_reg(PC, MEMORY_IPA)
        self.memory = p.guest_memory(kvm.image)
        self.region = p.memory_region(self.memory)
        vm = p.create_vm(kvm.fd, kvm.vm_type)
        _, self.init = p.prepare_init(vm, PSCI_0_2)
        p.close(vm)
        self.rounds = [self._round() for _ in delays]
        self._threads()
        self._finish()

    def _round(self) -> _RoundResults:
        p, race = self.program, self.race
        vm = p.create_vm(self.kvm.fd, self.kvm.vm_type)
        if race.view:
            p.add_memory(vm, self.region)
        count = race.runners + len(race.writers)
        results = _RoundResults(vm, [p.create_vcpu(vm, i) for i in range(count)])
        for vcpu in results.vcpus:
            p.init_vcpu(vcpu, self.init)
        for i, vcpu in enumerate(results.vcpus[: race.runners]):
            if i == 0 and race.view:
                p.set_reg(vcpu, self.entry)
            else:
                run = p.map_run(vcpu, self.kvm.run_size)
                p.set_immediate_exit(run, True)
                p.munmap(run, self.kvm.run_size)
        return results

    def _threads(self) -> None:
        placement, runners = self.kvm.placement, self.race.runners
        with self.program.concurrently() as stage:
            for i in range(runners):
                with stage.thread():
                    join_race(self.program, placement, RUNNER_RANK, core=0 if self.together else i)
                    for results, delay in zip(self.rounds, self.delays, strict=True):
                        self._run(results, i, delay * (4 + i) // 4)
            for i, values in enumerate(self.race.writers):
                with stage.thread():
                    join_race(self.program, placement, WRITER_RANK, core=0 if self.together else runners + i)
                    for results, delay in zip(self.rounds, self.delays, strict=True):
                        self._write(results, results.vcpus[runners + i], values, delay)

    def _wait(self, vcpu: Arg, value: OneReg, delay: int) -> None:
        """Sleeps for ``delay`` ns, or makes ``delay`` reads if each thread has a processor."""
        if not self.apart:
            sleep(self.program, delay)
        for _ in range(delay if self.apart else 0):
            self.program.get_reg(vcpu, value)

    def _run(self, results: _RoundResults, index: int, delay: int) -> None:
        p, view, vcpu = self.program, self.race.view if index == 0 else None, results.vcpus[index]
        if view:
            guests.put_calls(p, self.memory, [view.call])
        value = p.one_reg(self.race.register)
        p.barrier()
        self._wait(vcpu, value, delay)
        run = p.run(vcpu, immediate_exit=view is None)
        results.runs.append((run, p.get_reg(vcpu, value)))
        if view:
            results.mailbox = guests.take_calls(p, run, self.memory, [view.call])

    def _write(self, results: _RoundResults, vcpu: Arg, values: Sequence[int], delay: int) -> None:
        p = self.program
        value = p.one_reg(self.race.register)
        p.barrier()
        if not self.together:
            self._wait(vcpu, value, -delay if self.apart else LEAD_NS)
        results.sets.append([(v, p.set_reg(vcpu, self.sets[v])) for v in values])

    def _finish(self) -> None:
        p = self.program
        for results in self.rounds:
            results.final = p.get_reg(results.vcpus[-1], p.one_reg(self.race.register))
        closers = -(-len(self.rounds) // VMS_OF_A_CLOSER)
        with p.concurrently() as stage:
            for i in range(closers):
                with stage.thread():
                    for results in self.rounds[i::closers]:
                        for fd in (*results.vcpus, results.vm):
                            p.close(fd)
        p.munmap(self.memory, MEMORY_SIZE)


def _read(race: Race, results: _RoundResults, answer: Answer, delay: int) -> Round:
    threads: list[ThreadHistory] = []
    for i, (run, read) in enumerate(results.runs):
        if answer[run].errno != (0 if i == 0 and race.view else errno.EINTR):
            raise KvmError(f"KVM_RUN on vCPU {i} gave {answer[run].error} in a race of {race.register.name}")
        events = [HistoryEvent(EventKind.GET, read.value(answer))]
        if i == 0 and race.view and results.mailbox is not None:
            result = guests.read(answer[results.mailbox].data)[0]
            events.append(HistoryEvent(EventKind.SEEN, race.view.value(result.x0_3)))
        threads.append((HistoryEvent(EventKind.RUN), *events))
    for sets in results.sets:
        threads.append(tuple(HistoryEvent(EventKind.SET, value, answer[done].errno) for value, done in sets))
    assert results.final is not None
    return Round(tuple(threads), results.final.value(answer), delay)


def run_rounds(kvm: Kvm, race: Race, delays: Sequence[int], *, together: bool) -> list[Round]:
    """One round for each delay (ns, or see CallPace), each with a fresh VM, in one round trip.

    Raises KvmError, NotMeasured. ``together``: all threads on one core.
    """
    builder = _Builder(kvm, race, delays, together=together)
    answer = run_to_the_end(kvm, builder.program, f"A race of {race.register.name}")
    return [_read(race, results, answer, delay) for results, delay in zip(builder.rounds, delays, strict=True)]
