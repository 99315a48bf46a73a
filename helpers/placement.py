# SPDX-License-Identifier: GPL-2.0-only
"""The cores that run vCPUs, which are of one kind, and how the kernel schedules the threads of a race there.

On cores of two kinds a vCPU belongs to one kind: the other one has other ID and cache size registers, and before Linux
6.6 another target (KVM_ARM_PREFERRED_TARGET, arch/arm64/kvm/guest.c), which KVM_ARM_VCPU_INIT refuses there.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from helpers.executor.program import Answer, Arg, OpResult, Program
from helpers.subjects.base import Subject
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls

MIDR = "/sys/devices/system/cpu/cpu{}/regs/identification/midr_el1"
"""Documentation/arch/arm64/cpu-feature-registers.rst."""
HIGHEST_PRIORITY = 3
"""Of SCHED_FIFO, for the threads of a race."""
_SYSTEM = "/sys/devices/system/cpu"
"""Documentation/ABI/testing/sysfs-devices-system-cpu."""
_MASK_BYTES = 1024
"""Room for 8192 processors."""
_SLACK_NS = 1
_TARGET_BYTES = 32
"""struct kvm_vcpu_init, which begins with the target."""


@dataclass(frozen=True)
class CoreKind:
    """MIDR_EL1 and the target that KVM prefers on a core; None for what cannot be read."""

    midr: int | None
    target: int | None

    def __str__(self) -> str:
        midr = "MIDR_EL1 unknown" if self.midr is None else f"MIDR_EL1 {self.midr:#x}"
        return f"{midr}, preferred target {'unknown' if self.target is None else self.target}"


@dataclass(frozen=True)
class Placement:
    """``allowed`` are the numbers of the cores that the executor may use, ``cores`` the ones that run vCPUs.

    A race uses ``cores`` in their order, which begins at another core in another process.

    The errnos are 0, or why the executor could not be bound to ``cores``, and why its threads cannot have SCHED_FIFO,
    SCHED_IDLE, or a timer slack of 1 ns.
    """

    allowed: tuple[int, ...]
    cores: tuple[int, ...]
    kinds: Mapping[CoreKind, tuple[int, ...]]
    bind_errno: int = 0
    real_time_errno: int = 0
    idle_errno: int = 0
    slack_errno: int = 0

    @property
    def real_time(self) -> bool:
        """Whether threads get SCHED_FIFO."""
        return not self.real_time_errno

    def describe(self) -> dict[str, str]:
        """The facts for the report."""
        return {"cores of vCPUs": self._where(), "threads of races": self._scheduling()}

    def _where(self) -> str:
        if not self.kinds:
            return "unknown, because sched_getaffinity lists none"
        chosen = [str(kind) for kind, cores in self.kinds.items() if set(cores) & set(self.cores)]
        others = [(kind, cores) for kind, cores in self.kinds.items() if not set(cores) & set(self.cores)]
        where = [f"{core_list(self.cores)} ({' and '.join(chosen)})"]
        where += [f"not on {core_list(cores)} ({kind})" for kind, cores in others]
        where += [f"the executor cannot be bound: {_name(self.bind_errno)}"] if self.bind_errno else []
        return "; ".join(where)

    def _scheduling(self) -> str:
        policies = {"SCHED_FIFO": self.real_time_errno, "SCHED_IDLE": self.idle_errno}
        refused = [f"{policy} is refused ({_name(error)})" for policy, error in policies.items() if error]
        granted = "SCHED_OTHER" if self.idle_errno else "SCHED_OTHER and SCHED_IDLE"
        text = f"{granted}, because {' and '.join(refused)}" if self.real_time_errno else "SCHED_FIFO"
        return text + (f"; timer slack is not changed ({_name(self.slack_errno)})" if self.slack_errno else "")


def core_list(cores: Iterable[int]) -> str:
    """The numbers as in Linux's cpulist format: 0-3,6."""
    ranges: list[list[int]] = []
    for core in sorted(cores):
        if ranges and ranges[-1][-1] == core - 1:
            ranges[-1][1:] = [core]
        else:
            ranges.append([core])
    return ",".join("-".join(map(str, each)) for each in ranges)


def bind(program: Program, cores: Iterable[int]) -> Arg:
    """sched_setaffinity(2) of the calling thread, which the threads that it creates inherit."""
    bits = sum(1 << core for core in cores)
    mask = bits.to_bytes((bits.bit_length() + 63) // 64 * 8, "little")
    return program.syscall(syscalls.SCHED_SETAFFINITY, 0, len(mask), program.scratch_bytes(mask))


def set_scheduler(program: Program, policy: int, priority: int = 0) -> Arg:
    """sched_setscheduler(2) of the calling thread."""
    parameters = program.scratch_bytes(struct.pack("<i", priority))
    return program.syscall(syscalls.SCHED_SETSCHEDULER, 0, policy, parameters)


def place_vcpus(subject: Subject, vm: int) -> Placement:
    """Binds the executor to the largest group of cores of one kind; of two, to the one with the lowest core number.

    ``vm`` is the fd of a VM. An affinity that the user gave the executor is kept: other cores are not used. Also sets
    the timer slack, which the threads inherit. Every process on a machine chooses the same group. Raises KernelDied,
    HarnessError.
    """
    program = Program(traced=False)
    mask = program.scratch(_MASK_BYTES)
    program.syscall(syscalls.SCHED_GETAFFINITY, 0, _MASK_BYTES, mask)
    bits = program.peek(mask, _MASK_BYTES)
    pid = program.syscall(syscalls.GETPID)
    slack = program.syscall(syscalls.PRCTL, syscalls.PR_SET_TIMERSLACK, _SLACK_NS)
    with program.concurrently() as stage:
        # Not in the executor's own thread, which a stage of one thread uses.
        with stage.thread():
            fifo = set_scheduler(program, os.SCHED_FIFO, HIGHEST_PRIORITY)
        with stage.thread():
            idle = set_scheduler(program, os.SCHED_IDLE)
    answer = subject.run(program)
    number = int.from_bytes(answer[bits].data, "little")
    allowed = tuple(core for core in range(number.bit_length()) if number >> core & 1)
    kinds = _kinds(subject, vm, allowed)
    cores = max(kinds.values(), key=lambda each: (len(each), -each[0]), default=())
    error = bind_now(subject, cores)
    if error:
        bind_now(subject, allowed)
    turn = answer[pid].ret % max(1, len(cores))
    cores = cores[turn:] + cores[:turn]
    errors = (error, answer[fifo].errno, answer[idle].errno, answer[slack].errno)
    return Placement(allowed, allowed if error else cores, kinds, *errors)


def unplace_vcpus(subject: Subject, placement: Placement) -> None:
    """Gives the executor back the cores that it might use before ``place_vcpus``. Raises KernelDied, HarnessError."""
    if set(placement.cores) != set(placement.allowed):
        bind_now(subject, placement.allowed)


@dataclass(frozen=True)
class BroughtUp:
    """The numbers of the processors that ``bring_up`` brought up.

    ``fixed``: another one stays off, because the kernel has no CONFIG_HOTPLUG_CPU.
    """

    numbers: tuple[int, ...]
    fixed: bool


def bring_up(subject: Subject) -> BroughtUp:
    """Brings up every processor that is off, and lets the executor use all processors.

    A processor also stays off if the executor's user may not bring it up. Raises KernelDied, HarnessError.
    """
    program = Program(traced=False)
    fd = program.open(f"{_SYSTEM}/offline", os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, 4096)
    program.close(fd)
    numbers = parse_core_list(subject.run(program)[text].data.decode("ascii", "replace"))
    errors = _switch(subject, numbers, on=True)
    up = tuple(number for number, error in errors.items() if not error)
    if up:
        bind_now(subject, range(8 * _MASK_BYTES))
    return BroughtUp(up, errno.ENOENT in errors.values())


def take_down(subject: Subject, numbers: Iterable[int]) -> None:
    """Takes processors off that ``bring_up`` brought up. Raises KernelDied, HarnessError."""
    _switch(subject, numbers, on=False)


def _switch(subject: Subject, numbers: Iterable[int], *, on: bool) -> dict[int, int]:
    """The errno of each processor; ENOENT if the kernel cannot switch it."""
    program, results = Program(traced=False), []
    for number in numbers:
        fd = program.open(f"{_SYSTEM}/cpu{number}/online", os.O_WRONLY | os.O_CLOEXEC)
        results.append((number, fd, program.write(fd, b"1" if on else b"0")))
        program.close(fd)
    answer = subject.run(program)
    return {number: answer[fd].errno or answer[written].errno for number, fd, written in results}


def parse_core_list(text: str) -> tuple[int, ...]:
    """The numbers of a text in Linux's cpulist format; empty if it has another one."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*\s*", text):
        return ()
    ranges = [each.partition("-") for each in text.strip().split(",")]
    return tuple(n for first, _, last in ranges for n in range(int(first), int(last or first) + 1))


def bind_now(subject: Subject, cores: Sequence[int]) -> int:
    """Binds the executor to these cores. Returns the errno. Raises KernelDied, HarnessError."""
    program = Program(traced=False)
    done = bind(program, cores)
    return subject.run(program)[done].errno


def _kinds(subject: Subject, vm: int, cores: Sequence[int]) -> dict[CoreKind, tuple[int, ...]]:
    """The cores by kind, in the order of the kinds' first cores. Leaves the executor on the last core."""
    program, asked = Program(traced=False), []
    for core in cores:
        moved = bind(program, [core])
        init = program.scratch(_TARGET_BYTES)
        done = program.ioctl(vm, uapi.KVM_ARM_PREFERRED_TARGET, init)
        target = program.peek(init, 4)
        fd = program.open(MIDR.format(core), os.O_RDONLY | os.O_CLOEXEC)
        text = program.read(fd, 32)
        program.close(fd)
        asked.append((core, moved, done, target, text))
    answer = subject.run(program)
    kinds: dict[CoreKind, tuple[int, ...]] = {}
    for core, moved, done, target, text in asked:
        kind = CoreKind(_midr(answer[text]), _target(answer, moved, done, target))
        kinds[kind] = (*kinds.get(kind, ()), core)
    return kinds


def _midr(result: OpResult) -> int | None:
    try:
        return int(result.data, 16)
    except ValueError:
        return None


def _target(answer: Answer, moved: Arg, done: Arg, target: Arg) -> int | None:
    if answer[moved].errno or answer[done].errno:
        return None
    return int.from_bytes(answer[target].data, "little")


def _name(error: int) -> str:
    return errno.errorcode.get(error, str(error))
