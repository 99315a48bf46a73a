# SPDX-License-Identifier: GPL-2.0-only
"""Time that another thread takes from a vCPU's on the same processor is what the guest finds as stolen."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.functions import PV_TIME_ST_ID, SMCCC_VERSION
from helpers.errors import HarnessError
from helpers.executor.program import Arg, Program
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.guests import set_pv_time
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call
from helpers.uapi import syscalls
from suites.conftest import MakeVm
from suites.hypercalls.test_pv_time import pv_vm

__all__ = ["pv_vm"]

STOLEN_AT = 8
"""Bytes into the area: the stolen time in ns, a u64 (Documentation/virt/kvm/arm/pvtime.rst)."""
RUNS, TAKES, BYTES = 40, 60, 2 << 20
"""The vCPU's runs, and how often the other thread has the kernel fill so much memory: some ms each time."""
_POPULATE = 0x8000
_SCHEDSTAT = "/proc/thread-self/schedstat"


@dataclass(frozen=True)
class _Waited:
    """How long a thread waited for a processor so far, by its own account (ns): the second number of schedstat."""

    text: Arg

    def ns(self, data: bytes) -> int:
        """Raises HarnessError where the kernel keeps no such account."""
        words = data.split()
        if len(words) < 2:
            raise HarnessError(f"{_SCHEDSTAT} cannot be read", why=repr(data[:40]), cure="Run on a kernel with it")
        return int(words[1])


def _waited(program: Program) -> _Waited:
    fd = program.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, 128)
    program.close(fd)
    return _Waited(text)


def _one_processor(vm: Vm) -> bytes:
    """A processor mask that holds the first one that the executor may use."""
    program = Program()
    mask = program.scratch(128)
    program.syscall(syscalls.SCHED_GETAFFINITY, 0, 128, mask)
    allowed = program.peek(mask, 128)
    bits = int.from_bytes(vm.kvm.subject.run(program)[allowed].data, "little")
    return (bits & -bits).to_bytes(128, "little")


def _run(program: KvmProgram, vm: Vm, call: Call) -> Arg:
    guests.put_calls(program, vm.memory, [call])
    return program.run(vm.vcpu.fd)


@pytest.mark.clause("PVTIME-8")
def test_time_that_others_take(pv_vm: MakeVm) -> None:
    """No less than the vCPU's thread waited between PV_TIME_ST and its last run, and no more than in all."""
    vm, program = pv_vm(), KvmProgram()
    set_pv_time(vm, PV_TIME_IPA)
    mask = _one_processor(vm)
    runs: list[Arg] = []
    with program.concurrently() as stage:
        with stage.thread():
            program.syscall(syscalls.SCHED_SETAFFINITY, 0, len(mask), program.scratch_bytes(mask))
            before = _waited(program)
            runs.append(_run(program, vm, Call(PV_TIME_ST_ID)))
            first = _waited(program)
            for _ in range(RUNS):
                runs.append(_run(program, vm, Call(SMCCC_VERSION)))
            last = _waited(program)
            runs.append(_run(program, vm, Call(SMCCC_VERSION)))
            after = _waited(program)
        with stage.thread():
            program.syscall(syscalls.SCHED_SETAFFINITY, 0, len(mask), program.scratch_bytes(mask))
            for _ in range(TAKES):
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _POPULATE
                program.munmap(program.mmap(BYTES, mmap.PROT_READ | mmap.PROT_WRITE, flags), BYTES)
    area = program.peek(vm.memory + (PV_TIME_IPA - MEMORY_IPA) + STOLEN_AT, 8)
    answer = vm.kvm.subject.run(program)
    comparison = Comparison()
    for run in runs:
        comparison.error("KVM_RUN", 0, answer[run].errno)
    waited = {name: w.ns(answer[w.text].data) for name, w in
              (("before", before), ("first", first), ("last", last), ("after", after))}  # fmt: skip
    least, most = waited["last"] - waited["first"], waited["after"] - waited["before"]
    if not least:
        raise HarnessError("No time was stolen", why="the vCPU's thread never had to wait", cure="Run again")
    (stolen,) = struct.unpack("<Q", answer[area].data)
    what = f"the stolen time after {RUNS} runs beside a busy thread"
    comparison.that(least <= stolen <= most, what, f"{least} to {most} ns, which the thread waited", f"{stolen} ns")
    comparison.done()
