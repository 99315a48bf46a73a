# SPDX-License-Identifier: GPL-2.0-only
"""vCPUs that CPU_OFF, SYSTEM_OFF or SYSTEM_RESET has stopped: KVM_RUN runs no instruction of their guests."""

from __future__ import annotations

import errno
import struct

import pytest

from helpers import guests
from helpers.batch import Pending
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import SMCCC_VERSION
from helpers.contract.psci import AFFINITY_INFO, BIT_64, CPU_OFF, CPU_ON, EVENT_CALLS, OFF, ON, EventCall
from helpers.contract.registers import Register
from helpers.errors import NotMeasured
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.kvm import Vcpu, Vm
from helpers.kvm_program import PC, KvmProgram
from helpers.smccc import Call, CallResult
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.support.calls import CONDUITS, GARBAGE, Form
from suites.support.held import compare_fixed, fill
from suites.support.mp_state import RUNNABLE, STOPPED, compare_mp_states, mp_state, set_mp_state, vcpu_states
from suites.support.run_signal import run_beside

_CPU_OFF_0_1 = 0x95C1BA5F
"""KVM's id of CPU_OFF in PSCI 0.1, which defines none (asm/kvm.h, KVM_PSCI_FN_CPU_OFF)."""
_BEGINS_MS = 20
"""How long a guest has to begin. If it takes longer, its vCPU is stopped before it begins, which is correct too."""
_DEADLINES_MS = (100, 800, 6400)
"""A stopped vCPU stays in KVM_RUN until the first of these. The others are for a guest that is slow to stop."""


def _run(vm: Vm, vcpus: list[Vcpu], deadline_ms: int) -> tuple[list[int], CallResult]:
    """KVM_RUN of each vCPU at once until the deadline: their errnos, and the result of the mailbox's first call."""
    program = KvmProgram(deadline_ms=deadline_ms)
    with program.concurrently() as stage:
        runs = []
        for vcpu in vcpus:
            with stage.thread():
                runs.append(program.ioctl(vcpu.fd, uapi.KVM_RUN))
    answer, after = vm.kvm.subject.run(program), KvmProgram()
    mailbox = guests.take_calls(after, runs[0], vm.memory, [Call(0)])
    (result,) = guests.read(vm.kvm.subject.run(after)[mailbox].data)
    return [answer[run].errno for run in runs], result


def _put(vm: Vm, call: Call) -> None:
    program = KvmProgram()
    guests.put_calls(program, vm.memory, [call])
    vm.kvm.subject.run(program)


def _compare_states(c: Comparison, vm: Vm, expected: tuple[int, ...], when: str) -> None:
    batch = vm.batch()
    states = vcpu_states(batch, vm.vcpus)
    batch.run()
    compare_mp_states(c, states, dict(enumerate(expected)), when)


@pytest.mark.clause("PSCI-10")
@pytest.mark.parametrize("row", EVENT_CALLS[:2], ids=lambda row: row.name)
def test_no_guest_runs(row: EventCall, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """After SYSTEM_OFF and SYSTEM_RESET, KVM_RUN of the caller or of a vCPU that has not run yet runs no guest.

    The third vCPU was suspended before, on kernels that have the state.
    """
    vm, comparison = make_vm(3), Comparison()
    if vm.check_extension(uapi.KVM_CAP_ARM_SYSTEM_SUSPEND):
        batch = vm.batch()
        set_mp_state(batch, vm.vcpus[2], uapi.KVM_MP_STATE_SUSPENDED)
        batch.run()
    left = guests.last_call(vm.vcpus[1], Call(row.function))
    comparison.value(f"exit reason of {row.name}", uapi.KVM_EXIT_SYSTEM_EVENT, left.reason)
    _put(vm, Call(SMCCC_VERSION))
    errors, result = _run(vm, vm.vcpus, _DEADLINES_MS[0])
    for vcpu, error in zip(vm.vcpus, errors, strict=True):
        comparison.error(f"KVM_RUN of vCPU {vcpu.index} after {row.name}, until a signal", errno.EINTR, error)
    comparison.that(not any(result.x), f"calls of a guest after {row.name}", "none", str(result.x0_3))
    _compare_states(comparison, vm, (STOPPED,) * 3, f"after {row.name} and KVM_RUN")
    comparison.done()


_WFI = (0xD503207F, 0x14000000)
"""wfi; b ."""
_WFI_AT = PV_TIME_IPA + 0x800
"""Memory that neither the mailbox nor a stolen-time area uses."""


@pytest.mark.clause("PSCI-10")
@pytest.mark.parametrize("row", EVENT_CALLS[:2], ids=lambda row: row.name)
def test_waiting_vcpu(row: EventCall, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """SYSTEM_OFF and SYSTEM_RESET also stop a vCPU whose guest waits for an interrupt in KVM_RUN."""
    vm, comparison = make_vm(2), Comparison()
    batch, (caller, waiting) = vm.batch(), vm.vcpus
    batch.program.poke(vm.memory + (_WFI_AT - MEMORY_IPA), struct.pack("<2I", *_WFI))
    batch.set(waiting, PC, _WFI_AT)
    guests.put_calls(batch.program, vm.memory, [Call(row.function)])
    ended = list[Pending]()
    waited = run_beside(batch, waiting, _BEGINS_MS, lambda: ended.append(batch.run_vcpu(caller)))
    states = vcpu_states(batch, vm.vcpus)
    batch.run()
    comparison.error(f"KVM_RUN of the vCPU that calls {row.name}", 0, ended[0].errno)
    comparison.error("KVM_RUN of a waiting vCPU, until a signal", errno.EINTR, waited.errno)
    compare_mp_states(comparison, states, {0: STOPPED, 1: STOPPED}, f"after {row.name} beside a waiting vCPU")
    comparison.done()


def _turn_off(vm: Vm, vcpu: Vcpu, call: Call) -> tuple[int, CallResult]:
    """KVM_RUN's errno and the call's result once the guest has made it. Raises NotMeasured if it does not."""
    _put(vm, call)
    for deadline_ms in _DEADLINES_MS:
        (error,), result = _run(vm, [vcpu], deadline_ms)
        batch = vm.batch()
        ((_, state),) = vcpu_states(batch, [vcpu])
        batch.run()
        if not error or mp_state(state) != RUNNABLE:
            return error, result
    raise NotMeasured(f"the guest did not call CPU_OFF within {_DEADLINES_MS[-1]} ms")


@pytest.mark.clause("PSCI-14")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_cpu_off(form: Form, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """The second of three vCPUs turns itself off, and the first one turns it on again."""
    if not form.served(contract.smc):
        pytest.skip("not applicable, because this kernel does not serve SMC (SMCCC_VERSION gives NOT_SUPPORTED there)")
    vm, comparison = make_vm(3), Comparison()
    error, result = _turn_off(vm, vm.vcpus[1], Call(CPU_OFF, GARBAGE, form.conduit))
    comparison.error("KVM_RUN of a vCPU that turns itself off, until a signal", errno.EINTR, error)
    comparison.that(not any(result.x), "what CPU_OFF returns", "nothing", str(result.x0_3))
    _compare_states(comparison, vm, (RUNNABLE, STOPPED, RUNNABLE), "after CPU_OFF of vCPU 1")
    comparison.done()
    rows: list[tuple[int, tuple[int, ...], int]] = [(AFFINITY_INFO, (n, 0), OFF if n == 1 else ON) for n in range(3)]
    rows += [(CPU_ON | BIT_64, (1, MEMORY_IPA, 0), 0), (AFFINITY_INFO, (1, 0), ON)]
    calls = [Call(function, args, form.conduit) for function, args, _ in rows]
    for (function, args, x0), answer in zip(rows, guests.calls(vm.vcpu, calls), strict=True):
        comparison.x(f"{form.name} {function:#x} of vCPU {args[0]} after CPU_OFF", (x0, 0, 0, 0), answer.x0_3)
    seen = guests.call(vm.vcpus[1], Call(SMCCC_VERSION, GARBAGE)).x0_3
    comparison.x("SMCCC_VERSION on vCPU 1, on again", (contract.smccc, 0, 0, 0), seen)
    comparison.done()


@pytest.mark.clause("PSCI-14", "EVENT-1", "EVENT-2")
@pytest.mark.parametrize("held", ["empty", "full"])
@pytest.mark.parametrize("vcpus", [1, 3])
def test_cpu_off_of_the_last_vcpu(vcpus: int, held: str, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """The only vCPU that is on turns itself off. The registers keep their values, and stay locked."""
    vm, comparison = make_vm(vcpus), Comparison()
    values, batch = fill(vm, registers, held), vm.batch()
    for each in vm.vcpus[1:]:
        set_mp_state(batch, each, STOPPED)
    batch.run()
    error, result = _turn_off(vm, vm.vcpu, Call(CPU_OFF, GARBAGE))
    comparison.error("KVM_RUN of a vCPU that turns itself off, until a signal", errno.EINTR, error)
    comparison.that(not any(result.x), "what CPU_OFF returns", "nothing", str(result.x0_3))
    _compare_states(comparison, vm, (STOPPED,) * vcpus, "after CPU_OFF of the last vCPU")
    compare_fixed(comparison, vm.vcpus, registers, values, f"after CPU_OFF of the last vCPU, {held} before it")
    comparison.done()


@pytest.mark.clause("PSCI-14")
def test_cpu_off_of_psci_0_1(registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """PSCI 0.1's CPU_OFF also stops the vCPU that calls it and no other."""
    vm, comparison = make_vm(3, ()), Comparison()
    error, result = _turn_off(vm, vm.vcpus[1], Call(_CPU_OFF_0_1, GARBAGE))
    comparison.error("KVM_RUN of a vCPU that turns itself off, until a signal", errno.EINTR, error)
    comparison.that(not any(result.x), "what CPU_OFF returns", "nothing", str(result.x0_3))
    _compare_states(comparison, vm, (RUNNABLE, STOPPED, RUNNABLE), "after CPU_OFF of vCPU 1")
    comparison.done()
