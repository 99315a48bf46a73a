# SPDX-License-Identifier: GPL-2.0-only
"""Many rounds of one race in one round trip: VMs made beforehand, threads that meet at a barrier for each of them.

One processor is enough. The thread that runs the vCPU is a real-time one that sleeps: when its timer strikes, it takes
the processor from the writer in the middle of a system call, wherever that is, as long as the kernel is preemptible.
"""

from __future__ import annotations

import errno
import mmap
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from helpers import guests
from helpers.batch import KvmError
from helpers.contract.linearizability import EventKind, HistoryEvent, ThreadHistory
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg, Program
from helpers.kvm import MEMORY_IPA, MEMORY_SIZE, PSCI_0_2, Kvm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.concurrency.threads import real_time

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
    runs: list[tuple[Arg, Arg | None]] = field(default_factory=list)
    mailbox: Arg | None = None
    final: Arg | None = None


class _Builder:
    def __init__(self, kvm: Kvm, race: Race, delays: Sequence[int]) -> None:
        self.kvm, self.race, self.delays = kvm, race, delays
        self.program = Program(deadline_ms=60_000)
        self.sets = {v: self._one_reg(race.register.id, v)[0] for values in race.writers for v in values}
        self.pc = self._one_reg(uapi.KVM_REG_ARM_CORE_PC, MEMORY_IPA)[0]
        self._memory()
        self._target()
        self.rounds = [self._round() for _ in delays]
        self._threads()
        self._finish()

    def _one_reg(self, register_id: int, value: int) -> tuple[Arg, Arg]:
        at = self.program.scratch_bytes(struct.pack("<Q", value))
        arg = self.program.scratch_bytes(struct.pack("<Q", register_id) + bytes(8))
        self.program.poke_address(arg + 8, at)
        return arg, at

    def _memory(self) -> None:
        p = self.program
        self.memory = p.mmap(MEMORY_SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        p.poke(self.memory, self.kvm.image)
        region = uapi.pack("kvm_userspace_memory_region", guest_phys_addr=MEMORY_IPA, memory_size=MEMORY_SIZE)
        self.region = p.scratch_bytes(region)
        p.poke_address(self.region + uapi.offset("kvm_userspace_memory_region", "userspace_addr"), self.memory)

    def _target(self) -> None:
        p = self.program
        self.init = p.scratch(uapi.ffi.sizeof("struct kvm_vcpu_init"))
        vm = p.ioctl(self.kvm.fd, uapi.KVM_CREATE_VM)
        p.ioctl(vm, uapi.KVM_ARM_PREFERRED_TARGET, self.init)
        p.close(vm)
        p.poke(self.init + 4, struct.pack("<I", sum(1 << f for f in PSCI_0_2)))

    def _round(self) -> _Made:
        p, race = self.program, self.race
        vm = p.ioctl(self.kvm.fd, uapi.KVM_CREATE_VM)
        if race.view:
            p.ioctl(vm, uapi.KVM_SET_USER_MEMORY_REGION, self.region)
        count = race.runners + len(race.writers)
        made = _Made(vm, [p.ioctl(vm, uapi.KVM_CREATE_VCPU, i) for i in range(count)])
        for vcpu in made.vcpus:
            p.ioctl(vcpu, uapi.KVM_ARM_VCPU_INIT, self.init)
        for i, vcpu in enumerate(made.vcpus[: race.runners]):
            if i == 0 and race.view:
                p.ioctl(vcpu, uapi.KVM_SET_ONE_REG, self.pc)
            else:
                run = p.mmap(self.kvm.run_size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, vcpu)
                p.poke(run + uapi.offset("kvm_run_mmio", "immediate_exit"), b"\1")
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
        p, view = self.program, self.race.view if index == 0 else None
        asked = guests.ask([view.call]) if view else b""
        if view:
            p.poke(self.memory + guests.MAILBOX, asked)
        got, at = self._one_reg_here()
        length = p.scratch_bytes(struct.pack("<qq", *divmod(delay, 1_000_000_000)))
        p.barrier()
        p.syscall(syscalls.CLOCK_NANOSLEEP, time.CLOCK_MONOTONIC, 0, length)
        run = p.ioctl(made.vcpus[index], uapi.KVM_RUN)
        p.ioctl(made.vcpus[index], uapi.KVM_GET_ONE_REG, got)
        made.runs.append((run, p.peek(at, 8)))
        if view:
            made.mailbox = p.peek(self.memory + guests.MAILBOX, len(asked))

    def _one_reg_here(self) -> tuple[Arg, Arg]:
        return self._one_reg(self.race.register.id, 0)

    def _write(self, made: _Made, vcpu: Arg, values: Sequence[int]) -> None:
        p = self.program
        p.barrier()
        made.sets.append([(v, p.ioctl(vcpu, uapi.KVM_SET_ONE_REG, self.sets[v])) for v in values])

    def _finish(self) -> None:
        p = self.program
        for made in self.rounds:
            got, at = self._one_reg_here()
            p.ioctl(made.vcpus[-1], uapi.KVM_GET_ONE_REG, got)
            made.final = p.peek(at, 8)
        with p.concurrently() as stage:
            for i in range(CLOSERS):
                with stage.thread():
                    for made in self.rounds[i::CLOSERS]:
                        for fd in (*made.vcpus, made.vm):
                            p.close(fd)
        p.munmap(self.memory, MEMORY_SIZE)


def _word(answer: Answer, at: Arg | None) -> int:
    assert at is not None
    return int(struct.unpack("<Q", answer[at].data)[0])


def _read(race: Race, made: _Made, answer: Answer, delay: int) -> Round:
    threads: list[ThreadHistory] = []
    for i, (run, got) in enumerate(made.runs):
        told = answer[run].errno
        if told != (0 if i == 0 and race.view else errno.EINTR):
            raise KvmError(f"KVM_RUN on vCPU {i} gave {answer[run].error} in a race of {race.register.name}")
        seen = [HistoryEvent(EventKind.GET, _word(answer, got))]
        if i == 0 and race.view and made.mailbox is not None:
            result = guests.read(answer[made.mailbox].data)[0]
            seen.append(HistoryEvent(EventKind.SEEN, race.view.value(result.x0_3)))
        threads.append((HistoryEvent(EventKind.RUN), *seen))
    for told_sets in made.sets:
        threads.append(tuple(HistoryEvent(EventKind.SET, value, answer[done].errno) for value, done in told_sets))
    return Round(tuple(threads), _word(answer, made.final), delay)


def run_rounds(kvm: Kvm, race: Race, delays: Sequence[int]) -> list[Round]:
    """One round for each delay (ns), each with a fresh VM, in one round trip. Raises KvmError."""
    builder = _Builder(kvm, race, delays)
    answer = kvm.subject.run(builder.program)
    if answer.expired:
        raise KvmError(f"A race of {race.register.name} did not end before the deadline")
    return [_read(race, made, answer, delay) for made, delay in zip(builder.rounds, delays, strict=True)]
