# SPDX-License-Identifier: GPL-2.0-only
"""KVM_GET_ONE_REG and KVM_SET_ONE_REG while a vCPU is inside a guest that does not exit."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.registers import Register
from helpers.errors import HarnessError, NotMeasured
from helpers.executor.program import Program
from helpers.guest_layout import MEMORY_SIZE
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram, OneReg
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.support.threads import run_alone, sleep

SPIN = struct.pack("<I", 0x14000000)
"""The guest: "b ." (Arm DDI 0487, C6.2: B with offset 0)."""
PAUSES_MS = (10, 60, 300, 1000, 2000)
"""How long the other threads wait for the vCPU to enter the guest. A busy machine needs a longer pause."""
SHARE_OF_TIMEOUT = 0.5
"""Of the test's timeout, the most for the next attempt. An emulated clock may be many times slower than the host's."""
STAYS_MS = 40
"""Least time from the calls until a signal ends the run. After a longer pause, it is as long as the pause."""
TARGET = MEMORY_SIZE - 8
"""Offset in the guest's memory of a GET's value, which is read after the run."""
EINTR = 4


@dataclass(frozen=True)
class _Result:
    """A call while the vCPU was inside: its errno, whether it was made, and whether it returned before the signal."""

    errno: int
    made: bool
    at_once: bool


class _Visit:
    """One stay of vCPU 0 inside the guest, with a thread for each call made meanwhile."""

    def __init__(self, vm: Vm, register: Register, pause_ms: int) -> None:
        self.vm, self.register, self.pause_ms = vm, register, pause_ms
        self.program = KvmProgram(deadline_ms=pause_ms + max(STAYS_MS, pause_ms))
        self.target = self.program.one_reg(register, memory=vm.memory + TARGET)

    def setter(self, value: int) -> OneReg:
        """The argument of KVM_SET_ONE_REG."""
        return self.program.one_reg(self.register, value)

    def results(self, calls: list[tuple[int, int, OneReg]]) -> list[_Result]:
        """The result of each (fd, request, argument). Raises HarnessError if vCPU 0 left its guest."""
        program, pending = self.program, []
        with program.concurrently() as stage:
            with stage.thread():
                run = program.run(self.vm.vcpu.fd)
            for fd, request, argument in calls:
                with stage.thread():
                    sleep(program, self.pause_ms * 1_000_000)
                    pending.append((program.call(fd, request, argument), program.clock(1)))
        answer = run_alone(self.vm.kvm, program)
        if answer.expired and not answer[run].ran:
            # The threads did not begin before the signal. A longer pause may suffice.
            return [_Result(0, False, False)] * len(calls)
        if not answer.expired or answer[run].errno != EINTR:
            raise HarnessError(
                "The vCPU did not stay inside its guest", why=f"KVM_RUN gave {answer[run].ret}, {answer[run].error}"
            )
        return [_Result(answer[done].errno, answer[done].ran, answer[after].ran) for done, after in pending]


def _spinning(vm: Vm) -> Vm:
    """Writes the guest, an endless loop, into the VM's memory. Returns the VM."""
    batch = vm.batch()
    batch.program.poke(vm.memory, SPIN)
    batch.run()
    return vm


@pytest.fixture
def pauses(renew_deadline: Callable[[], float]) -> Iterator[int]:
    """As many of PAUSES_MS as the test's timeout allows. Each one restarts the timeout."""

    def each() -> Iterator[int]:
        for pause, following in zip(PAUSES_MS, (*PAUSES_MS[1:], 0), strict=True):
            most, began = SHARE_OF_TIMEOUT * renew_deadline(), time.monotonic()
            yield pause
            if (time.monotonic() - began) * following / pause > most:
                break

    return each()


def _require_all(results: list[_Result], pause: int) -> None:
    """Raises NotMeasured if a thread did not get to run before the signal."""
    if not all(each.made for each in results):
        stay = max(STAYS_MS, pause)
        raise NotMeasured(f"a thread did not run within {stay} ms while the vCPU was inside its guest")


def _other(register: Register) -> int:
    return next(v for v in register.subsets() if v != register.reset)


@pytest.mark.clause("RACE-4", "LOCK-1", "LOCK-2", "LOCK-3")
def test_another_vcpu_answers_at_once(register: Register, make_vm: MakeVm, pauses: Iterator[int]) -> None:
    """A read succeeds and writes give the errors of a locked register, while vCPU 0 stays inside the guest."""
    for pause in pauses:
        vm = _spinning(make_vm(2))
        visit, fd = _Visit(vm, register, pause), vm.vcpus[1].fd
        wanted = [("a read", 0, uapi.KVM_GET_ONE_REG, visit.target)]
        for what, error, value in (
            ("its value", 0, register.reset), ("another value", EBUSY, _other(register)),
            ("an unsupported bit", EINVAL, register.beyond),
        ):  # fmt: skip
            wanted.append((f"a write of {what}", error, uapi.KVM_SET_ONE_REG, visit.setter(value)))
        results = visit.results([(fd, request, argument) for _, _, request, argument in wanted])
        if results[2].errno and all(each.at_once for each in results):
            break
    _require_all(results, pause)
    comparison = Comparison()
    for (what, error, _, _), one in zip(wanted, results, strict=True):
        name = f"{what} of {register.name} through vCPU 1 while vCPU 0 is inside the guest"
        comparison.error(name, error, one.errno)
        comparison.that(one.at_once, name, "an answer at once", "none before vCPU 0 had left the guest")
    comparison.value(f"the value of {register.name} that the read stored", register.reset, _target(vm))
    comparison.done()


@pytest.mark.clause("RACE-4", "LOCK-1")
def test_the_same_vcpu_waits(register: Register, make_vm: MakeVm, pauses: Iterator[int]) -> None:
    """A read and a write return after the vCPU has left the guest."""
    for pause in pauses:
        vm = _spinning(make_vm(1))
        visit, fd = _Visit(vm, register, pause), vm.vcpu.fd
        results = visit.results([
            (fd, uapi.KVM_GET_ONE_REG, visit.target), (fd, uapi.KVM_SET_ONE_REG, visit.setter(_other(register))),
        ])  # fmt: skip
        if all(each.made and not each.at_once for each in results):
            break
    _require_all(results, pause)
    comparison = Comparison()
    for (what, error), one in zip((("a read", 0), ("a write of another value", EBUSY)), results, strict=True):
        name = f"{what} of {register.name} through vCPU 0, which is inside the guest"
        comparison.that(not one.at_once, name, "no answer before it has left the guest", "an answer at once")
        comparison.error(name, error, one.errno)
    comparison.value(f"the value of {register.name} that the read stored", register.reset, _target(vm))
    comparison.done()


def _target(vm: Vm) -> int:
    program = Program()
    at = program.peek(vm.memory + TARGET, 8)
    return int(struct.unpack("<Q", vm.kvm.subject.run(program)[at].data)[0])
