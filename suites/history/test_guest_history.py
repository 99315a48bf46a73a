# SPDX-License-Identifier: GPL-2.0-only
"""Many hypercalls and runs on one VM: each answer is the one that the first call of its kind got."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS, Function, Situation, X
from helpers.contract.registers import STD, VENDOR_HYP, Register
from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg
from helpers.kvm import Vcpu
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.calls import GARBAGE, REGISTER_LEVELS, call_of
from suites.support.held import compare_fixed
from suites.support.view import compare_view

REPETITIONS = 70
"""More than 64 runs and forwarded calls, and more than 128 denied and served ones of each function."""
_FORWARDED, _ANSWER = Call(0x86001000, GARBAGE), 0x5EED
_SERVICES = {STD: "TRNG_VERSION", VENDOR_HYP: "VENDOR_HYP_CALL_UID"}
"""A function of each register, with a fixed answer."""
_FUNCTIONS = {function.name: function for function in FUNCTIONS}


@dataclass(frozen=True)
class _Turn:
    """References to two runs of one vCPU: until the forwarded call, and after it. ``record``: the first one's exit."""

    vcpu: Vcpu
    runs: tuple[Arg, Arg]
    record: Arg
    mailbox: Arg


def _fixed_answer(function: Function, situation: Situation) -> X:
    answer = function.expected(situation)
    if not isinstance(answer, tuple):
        raise HarnessError(f"{function.name} has no fixed answer", cure="Report this as a bug of the suite")
    return answer


def _turn(program: KvmProgram, vcpu: Vcpu, calls: Sequence[Call]) -> _Turn:
    guests.put_calls(program, vcpu.vm.memory, calls)
    forwarded = program.run(vcpu.fd)
    record = program.peek(vcpu.run_address, uapi.offset("kvm_run_hypercall", "nr") + 8)
    program.set_reg(vcpu.fd, program.one_reg(RegisterId("x0", uapi.core_x(0)), _ANSWER))
    ended = program.run(vcpu.fd)
    return _Turn(vcpu, (forwarded, ended), record, guests.take_calls(program, ended, vcpu.vm.memory, calls))


def _compare_turn(
    comparison: Comparison, turn: _Turn, number: int, answer: Answer, expected: Sequence[tuple[Call, tuple[int, ...]]]
) -> None:
    what = f"repetition {number + 1} on vCPU {turn.vcpu.index}"
    for name, run in zip(("KVM_RUN", "the next KVM_RUN"), turn.runs, strict=True):
        comparison.error(f"{name}, {what}", 0, answer.results[run.index][number].errno)
    data = answer.results[turn.record.index][number].data
    (reason,) = struct.unpack_from("<I", data, uapi.offset("kvm_run_hypercall", "exit_reason"))
    comparison.value(f"exit reason, {what}", uapi.KVM_EXIT_HYPERCALL, reason)
    results = guests.read(answer.results[turn.mailbox.index][number].data)
    for (call, wanted), result in zip(expected, results, strict=True):
        comparison.x(f"{call.function:#x}, {what}", wanted, result.x[: len(wanted)])


@pytest.mark.clause("HISTORY-1", "CALL-1", "CALL-2", "FILTER-8", "LOCK-1")
@pytest.mark.parametrize("full", _SERVICES)
def test_many_calls_and_runs(full: str, make_vm: MakeVm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """Served, denied and forwarded calls, on both vCPUs in turn. Then the registers are still locked."""
    if not contract.smccc_filter:
        pytest.skip("not applicable, because this kernel has no SMCCC filter (KVM_HAS_DEVICE_ATTR)")
    if not {*_SERVICES} <= {register.name for register in registers}:
        pytest.skip("not applicable, because this kernel lacks one of the registers (KVM_GET_REG_LIST)")
    vm, comparison = make_vm(2), Comparison()
    values = {r.name: r.mask if r.name == full else 0 for r in registers}
    situation = Situation(contract.dialect, values, contract.arch_counter, None)
    rows = [(call_of(_FUNCTIONS[name]), _fixed_answer(_FUNCTIONS[name], situation)) for name in _SERVICES.values()]
    expected: list[tuple[Call, tuple[int, ...]]] = [*rows, (_FORWARDED, (_ANSWER,)), *rows]
    vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
    vm.set_filter(_FORWARDED.function, 1, uapi.KVM_SMCCC_FILTER_FWD_TO_USER)
    program = KvmProgram(deadline_ms=60_000)
    with program.concurrently() as stage, stage.thread(repeat=REPETITIONS):
        turns = [_turn(program, vcpu, [call for call, _ in expected]) for vcpu in vm.vcpus]
    answer = vm.kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"{REPETITIONS} repetitions of calls and runs did not end before the deadline")
    for turn in turns:
        for number in range(REPETITIONS):
            _compare_turn(comparison, turn, number, answer, expected)
    compare_fixed(comparison, vm.vcpus, registers, values, f"after {REPETITIONS} runs")
    comparison.done()


@pytest.mark.clause("HISTORY-1", "CALL-1", "LOCK-1")
@pytest.mark.parametrize("full", [True, False], ids=REGISTER_LEVELS)
def test_first_call_after_many_runs(
    full: bool, make_vm: MakeVm, contract: Probe, registers: tuple[Register, ...]
) -> None:
    """Many runs end with immediate_exit or with a store to no memory. The first calls then get the defined answers."""
    vm, comparison = make_vm(2), Comparison()
    values = {r.name: r.mask if full else 0 for r in registers}
    vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
    program = KvmProgram(deadline_ms=60_000)
    guests.put_calls(program, vm.memory, ())
    runs = []
    with program.concurrently() as stage, stage.thread(repeat=REPETITIONS):
        for vcpu in vm.vcpus:
            runs.append((errno.EINTR, program.run_with_immediate_exit(vcpu.fd, vcpu.run_address)))
            runs.append((0, program.run(vcpu.fd)))
    answer = vm.kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"{REPETITIONS} runs did not end before the deadline")
    for error, run in runs:
        for number, result in enumerate(answer.results[run.index]):
            comparison.error(f"KVM_RUN, repetition {number + 1}", error, result.errno)
    for vcpu in vm.vcpus:
        compare_view(comparison, vcpu, contract, values, f"on vCPU {vcpu.index} after {2 * REPETITIONS} runs")
    compare_fixed(comparison, vm.vcpus, registers, values, f"after {2 * REPETITIONS} runs")
    comparison.done()
