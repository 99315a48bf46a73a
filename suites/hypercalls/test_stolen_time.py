# SPDX-License-Identifier: GPL-2.0-only
"""The stolen time of a vCPU whose thread waits for another thread on the same processor."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.functions import PV_TIME_ST_ID, SMCCC_VERSION
from helpers.errors import NotMeasured
from helpers.executor.program import Arg, Program
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.guests import set_pv_time
from helpers.kvm import PSCI_0_2, Vm
from helpers.kvm_program import KvmProgram
from helpers.placement import bind
from helpers.smccc import Call
from suites.conftest import MakeVm
from suites.hypercalls.test_pv_time import pv_vm
from suites.support.threads import run_to_the_end, sleep, timespec

__all__ = ["pv_vm"]

STOLEN_AT = 8
"""Bytes into the area: the stolen time in ns, a u64 (Documentation/virt/kvm/arm/pvtime.rst)."""
RUNS, TAKES = 40, 60
"""The runs of the vCPU in the first attempt, and how often the kernel fills memory for the other thread meanwhile."""
PAUSE_NS = 50_000
"""The vCPU's thread sleeps before each run. It then waits for the other thread, or for as long as a wake-up takes."""
BYTES = 2 << 20
"""Bytes of memory that the kernel fills: 0.1 to 1 ms on a fast processor, a few ms on an emulated one."""
MOST_RUNS = 2560
_POPULATE = 0x8000
_SCHEDSTAT = "/proc/thread-self/schedstat"


@dataclass(frozen=True)
class _Waited:
    """How long a thread has waited for a processor (ns): the second number of its schedstat file."""

    text: Arg

    def ns(self, data: bytes) -> int:
        """Raises NotMeasured if the kernel has no such file."""
        words = data.split()
        if len(words) < 2:
            raise NotMeasured(f"{_SCHEDSTAT} cannot be read: the time that the vCPU waited is unknown")
        return int(words[1])


@dataclass(frozen=True)
class _Measured:
    """The stolen time, its minimum and its maximum (ns)."""

    least: int
    stolen: int
    most: int


def _waited(program: Program) -> _Waited:
    fd = program.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, 128)
    program.close(fd)
    return _Waited(text)


def _run(program: KvmProgram, vm: Vm, call: Call) -> Arg:
    guests.put_calls(program, vm.memory, [call])
    return program.run(vm.vcpus[-1].fd)


class _Beside:
    """Runs of a vCPU while another thread is busy on the same core."""

    def __init__(self, vm: Vm, runs: int, *, restored: bool) -> None:
        self.vm, self.program, self.restored = vm, KvmProgram(deadline_ms=60_000), restored
        self.runs: list[Arg] = []
        self.waited: list[_Waited] = []
        with self.program.concurrently() as stage:
            with stage.thread():
                self._bind()
                self._run_vcpu(runs)
            with stage.thread(repeat=TAKES * runs // RUNS):
                self._bind()
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _POPULATE
                self.program.munmap(self.program.mmap(BYTES, mmap.PROT_READ | mmap.PROT_WRITE, flags), BYTES)
        self.area = self.program.peek(vm.memory + (PV_TIME_IPA - MEMORY_IPA) + STOLEN_AT, 8)

    def _bind(self) -> None:
        cores = self.vm.kvm.placement.cores[:1]
        if cores:
            bind(self.program, cores)

    def _run_vcpu(self, runs: int) -> None:
        program, pause = self.program, timespec(self.program, PAUSE_NS)
        program.poke(self.vm.memory + (PV_TIME_IPA - MEMORY_IPA) + STOLEN_AT, bytes(8))
        self.waited.append(_waited(program))
        self.runs.append(_run(program, self.vm, Call(SMCCC_VERSION if self.restored else PV_TIME_ST_ID)))
        self.waited.append(_waited(program))
        for _ in range(runs):
            sleep(program, pause)
            self.runs.append(_run(program, self.vm, Call(SMCCC_VERSION)))
        # KVM_ARM_VCPU_INIT changes neither the area nor what was measured. A run completes the guest's exit first.
        program.run_with_immediate_exit(self.vm.vcpus[-1].fd, self.vm.vcpus[-1].run_address)
        program.init_vcpu(self.vm.vcpus[-1].fd, program.prepare_init(self.vm.fd, PSCI_0_2)[1])
        program.set_entry(self.vm.vcpus[-1].fd)
        self.waited.append(_waited(program))
        self.runs.append(_run(program, self.vm, Call(SMCCC_VERSION)))
        self.waited.append(_waited(program))

    def measured(self) -> _Measured:
        """Runs the program. Raises NotMeasured."""
        answer, comparison = run_to_the_end(self.vm.kvm, self.program, "A vCPU on a busy core"), Comparison()
        for run in self.runs:
            comparison.error("KVM_RUN", 0, answer[run].errno)
        comparison.done()
        before, first, last, after = (each.ns(answer[each.text].data) for each in self.waited)
        (stolen,) = struct.unpack("<Q", answer[self.area].data)
        # Without PV_TIME_ST, KVM also counts what the thread waited before its first KVM_RUN.
        return _Measured(last - first, stolen, after if self.restored else after - before)


@pytest.mark.parametrize(
    "restored",
    [
        pytest.param(False, marks=pytest.mark.clause("PVTIME-8")),
        pytest.param(True, marks=pytest.mark.clause("PVTIME-12")),
    ],
    ids=["PV_TIME_ST", "restored"],
)
def test_time_that_others_take(restored: bool, pv_vm: MakeVm, renew_deadline: Callable[[], float]) -> None:
    """The second vCPU's stolen time is its thread's wait: at least from PV_TIME_ST to the last run, at most all.

    ``restored``: the guest has called PV_TIME_ST in another VM, whose memory had no stolen time yet.
    """
    vm, runs = pv_vm(2), RUNS
    set_pv_time(vm, PV_TIME_IPA, place=-1)
    while not (measured := _Beside(vm, runs, restored=restored).measured()).least:
        runs *= 4
        if runs > MOST_RUNS:
            raise NotMeasured(f"no time was stolen: the vCPU's thread did not wait in {runs // 4} runs")
        renew_deadline()
    comparison, what = Comparison(), f"the stolen time after {runs} runs on the core of a busy thread"
    expected = f"{measured.least} to {measured.most} ns, which the thread waited"
    comparison.that(measured.least <= measured.stolen <= measured.most, what, expected, f"{measured.stolen} ns")
    comparison.done()
