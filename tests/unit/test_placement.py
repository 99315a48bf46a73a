# SPDX-License-Identifier: GPL-2.0-only
"""Which cores run vCPUs, on machines with cores of several kinds, and what the report has about it."""

from __future__ import annotations

import errno
import re
from typing import Any

import pytest

from helpers.executor.program import Answer, Arg, Code, Op, OpResult, Program
from helpers.placement import (
    BroughtUp,
    bring_up,
    core_list,
    parse_core_list,
    place_vcpus,
    take_down,
    unplace_vcpus,
)
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls

LITTLE, BIG = 0x410FD034, 0x410FD082
VM = 11
GENERIC, A53 = 5, 4


class Cores:
    """An executor on these cores: the MIDR_EL1 of each (0: not readable) and KVM's preferred target."""

    def __init__(self, *cores: tuple[int, int], allowed: int = 0, binds: bool = True, real_time: bool = True) -> None:
        self.cores, self.binds, self.real_time = cores, binds, real_time
        self.mask = allowed or (1 << len(cores)) - 1
        self.memory = bytearray()
        self.path, self.pid = b"", 0
        self.off: set[int] = set()
        self.stuck: set[int] = set()
        """Processors that the executor's user may not bring up."""
        self.fixed: set[int] = set()
        """Processors without a file to bring them up."""

    def run(self, program: Program) -> Answer:
        results: list[tuple[OpResult, ...]] = [()] * program.op_count
        self.memory = bytearray(program.scratch_size)
        for at, chunk in program.chunks:
            self._write(at, chunk)
        for index, op in (each for stage in program.stages for thread in stage for each in thread.ops):
            ret, error, data = self._call(op)
            results[index] = (OpResult(ret, error, True, data),)
        return Answer(tuple(results), False)

    def _write(self, at: int, data: bytes | bytearray) -> None:
        self.memory[at : at + len(data)] = data

    def _call(self, op: Op) -> tuple[int, int, bytes]:
        if op.code == Code.PEEK:
            at, length = (each.value for each in op.args)
            return 0, 0, bytes(self.memory[at : at + length])
        if op.code == Code.OPEN:
            self.path = op.data
            fixed = any(self.path.endswith(b"/cpu%d/online\0" % number) for number in self.fixed)
            return (-1, errno.ENOENT, b"") if fixed else (0, 0, b"")
        if op.code == Code.READ and self.path.startswith(b"/sys/devices/system/cpu/offline"):
            return 0, 0, f"{core_list(self.off)}\n".encode()
        if op.code == Code.WRITE:
            return self._switch(int(re.findall(rb"cpu/cpu(\d+)/online", self.path)[0]), op.data)
        if op.code == Code.READ:
            midr = self.cores[int(re.findall(rb"cpu/cpu(\d+)/regs/", self.path)[0])][0]
            return (0, 0, b"%#018x\n" % midr) if midr else (-1, errno.EBADF, b"")
        if op.code == Code.IOCTL:
            assert (op.args[0].value, op.args[1].value) == (VM, uapi.KVM_ARM_PREFERRED_TARGET)
            self._write(op.args[2].value, self.cores[self.mask.bit_length() - 1][1].to_bytes(4, "little"))
        return self._system_call(op.args) if op.code == Code.SYSCALL else (0, 0, b"")

    def _switch(self, number: int, to: bytes) -> tuple[int, int, bytes]:
        if number in self.fixed:
            return -1, errno.EBADF, b""
        if number in self.stuck:
            return -1, errno.EACCES, b""
        (self.off.discard if to == b"1" else self.off.add)(number)
        return 1, 0, b""

    def _system_call(self, args: tuple[Arg, ...]) -> tuple[int, int, bytes]:
        number = args[0].value
        if number == syscalls.GETPID:
            return self.pid, 0, b""
        if number == syscalls.SCHED_GETAFFINITY:
            self._write(args[3].value, self.mask.to_bytes(128, "little"))
        if number == syscalls.SCHED_SETAFFINITY:
            if not self.binds:
                return -1, errno.EPERM, b""
            length, at = args[2].value, args[3].value
            self.mask = int.from_bytes(self.memory[at : at + length], "little")
        fifo = number == syscalls.SCHED_SETSCHEDULER and args[2].value == 1
        return (-1, errno.EPERM, b"") if fifo and not self.real_time else (0, 0, b"")


def machine(*cores: tuple[int, int], **options: Any) -> Any:
    return Cores(*cores, **options)


def test_one_kind() -> None:
    subject = machine(*[(BIG, GENERIC)] * 4)
    placement = place_vcpus(subject, VM)
    assert placement.cores == placement.allowed == (0, 1, 2, 3) and subject.mask == 0b1111
    assert placement.describe() == {
        "cores of vCPUs": "0-3 (MIDR_EL1 0x410fd082, preferred target 5)",
        "threads of races": "SCHED_FIFO",
    }


def test_the_largest_kind_runs_vcpus() -> None:
    subject = machine(*[(BIG, GENERIC)] * 2, *[(LITTLE, A53)] * 4)
    placement = place_vcpus(subject, VM)
    assert placement.cores == (2, 3, 4, 5) and subject.mask == 0b111100
    assert placement.describe()["cores of vCPUs"] == (
        "2-5 (MIDR_EL1 0x410fd034, preferred target 4); not on 0-1 (MIDR_EL1 0x410fd082, preferred target 5)"
    )
    unplace_vcpus(subject, placement)
    assert subject.mask == 0b111111


def test_races_of_other_processes_begin_on_other_cores() -> None:
    subject = machine(*[(BIG, GENERIC)] * 4)
    subject.pid = 101
    assert place_vcpus(subject, VM).cores == (1, 2, 3, 0)


def test_of_two_kinds_as_large_the_first() -> None:
    cores = [(LITTLE, GENERIC), (BIG, GENERIC)] * 2
    assert place_vcpus(machine(*cores), VM).cores == (0, 2)
    assert place_vcpus(machine(*reversed(cores)), VM).cores == (0, 2)


def test_the_affinity_of_the_user_is_kept() -> None:
    subject = machine(*[(LITTLE, A53)] * 4, *[(BIG, GENERIC)] * 4, allowed=0b01111000)
    placement = place_vcpus(subject, VM)
    assert placement.allowed == (3, 4, 5, 6) and placement.cores == (4, 5, 6)


@pytest.mark.parametrize("midr", [0, BIG])
def test_kinds_that_only_kvm_tells_apart(midr: int) -> None:
    subject = machine((midr, GENERIC), (midr, A53), (midr, A53))
    placement = place_vcpus(subject, VM)
    assert placement.cores == (1, 2)
    words = f"MIDR_EL1 {hex(midr) if midr else 'unknown'}, preferred target"
    assert placement.describe()["cores of vCPUs"] == f"1-2 ({words} 4); not on 0 ({words} 5)"


def test_an_executor_that_may_not_be_bound_stays() -> None:
    subject = machine((LITTLE, A53), (BIG, GENERIC), binds=False, real_time=False)
    placement = place_vcpus(subject, VM)
    assert placement.cores == (0, 1) and not placement.real_time
    assert placement.describe() == {
        "cores of vCPUs": "0-1 (MIDR_EL1 0x410fd034, preferred target unknown and "
        "MIDR_EL1 0x410fd082, preferred target unknown); the executor cannot be bound: EPERM",
        "threads of races": "SCHED_OTHER and SCHED_IDLE, because SCHED_FIFO is refused (EPERM)",
    }


def test_cores_that_cannot_be_listed() -> None:
    placement = place_vcpus(machine(), VM)
    assert placement.cores == () and placement.describe()["cores of vCPUs"].startswith("unknown")


@pytest.mark.parametrize(("cores", "text"), [((), ""), ((5,), "5"), ((0, 1, 2, 4, 6, 7), "0-2,4,6-7")])
def test_a_list_of_cores(cores: tuple[int, ...], text: str) -> None:
    assert core_list(cores) == text


def test_processors_are_brought_up_and_taken_down() -> None:
    subject = machine(*[(BIG, GENERIC)] * 4, allowed=1)
    subject.off, subject.stuck = {1, 2, 3}, {2}
    assert bring_up(subject) == BroughtUp((1, 3), fixed=False) and subject.off == {2}
    assert subject.mask & 0b1011 == 0b1011
    take_down(subject, (1, 3))
    assert subject.off == {1, 2, 3}


def test_processors_of_a_kernel_that_cannot_bring_them_up() -> None:
    subject = machine(*[(BIG, GENERIC)] * 4, allowed=1)
    subject.off, subject.fixed = {1, 2, 3}, {2, 3}
    assert bring_up(subject) == BroughtUp((1,), fixed=True) and subject.off == {2, 3}


def test_the_affinity_stays_if_no_processor_comes_up() -> None:
    subject = machine(*[(BIG, GENERIC)] * 4, allowed=0b0101)
    subject.off = subject.stuck = {1}
    assert bring_up(subject) == BroughtUp((), fixed=False) and subject.mask == 0b0101


@pytest.mark.parametrize(
    ("text", "numbers"), [("", ()), ("\n", ()), ("1\n", (1,)), ("1-3,6\n", (1, 2, 3, 6)), ("none", ()), ("1-", ())]
)
def test_core_lists(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_core_list(text) == numbers
    assert parse_core_list(core_list(numbers)) == numbers
