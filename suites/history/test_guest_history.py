# SPDX-License-Identifier: GPL-2.0-only
"""Many hypercalls and runs on one VM: each answer is the one that the first call of its kind got."""

from __future__ import annotations

import struct

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED
from helpers.contract.registers import STD, Register
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.calls import GARBAGE
from suites.support.held import compare_fixed

REPETITIONS = 70
"""More than 64 runs and forwarded calls, and more than 128 denied and served ones."""
_SERVED, _DENIED, _FORWARDED, _ANSWER = 0x84000050, 0xC5000020, 0x86001000, 0x5EED
_ORDER = (_SERVED, _DENIED, _FORWARDED, _SERVED, _DENIED)


def _expected(answer: dict[int, int]) -> list[tuple[int, ...]]:
    return [
        CLOSED if function == _DENIED else (answer[function], 0, 0, 0) if function == _SERVED else (answer[function],)
        for function in _ORDER
    ]


@pytest.mark.clause("HISTORY-1", "CALL-1", "CALL-2", "FILTER-8", "LOCK-1")
def test_many_calls_and_runs(make_vm: MakeVm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """Served, denied and forwarded calls, on both vCPUs in turn. Then the registers are still locked."""
    if not contract.smccc_filter:
        pytest.skip("not applicable, because this kernel has no SMCCC filter (KVM_HAS_DEVICE_ATTR)")
    vm, comparison = make_vm(2), Comparison()
    values = {r.name: r.mask if r.name == STD else 0 for r in registers}
    vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
    vm.set_filter(_FORWARDED, 1, uapi.KVM_SMCCC_FILTER_FWD_TO_USER)
    calls = [Call(function, GARBAGE) for function in _ORDER]
    program, x0 = KvmProgram(deadline_ms=60_000), uapi.core_x(0)
    rows = []
    with program.concurrently() as stage, stage.thread(repeat=REPETITIONS):
        for vcpu in vm.vcpus:
            guests.put_calls(program, vm.memory, calls)
            program.run(vcpu.fd)
            record = program.peek(vcpu.run_address, uapi.offset("kvm_run_hypercall", "nr") + 8)
            program.set_reg(vcpu.fd, program.one_reg(RegisterId("x0", x0), _ANSWER))
            ran = program.run(vcpu.fd)
            rows.append((vcpu, record, guests.take_calls(program, ran, vm.memory, calls)))
    answer = vm.kvm.subject.run(program)
    expected = _expected({_SERVED: 0x10000, _FORWARDED: _ANSWER})
    for vcpu, record, mailbox in rows:
        for turn in range(REPETITIONS):
            what = f"repetition {turn + 1} on vCPU {vcpu.index}"
            data = answer.results[record.index][turn].data
            (reason,) = struct.unpack_from("<I", data, uapi.offset("kvm_run_hypercall", "exit_reason"))
            comparison.value(f"exit reason, {what}", uapi.KVM_EXIT_HYPERCALL, reason)
            results = guests.read(answer.results[mailbox.index][turn].data)
            for call, wanted, result in zip(calls, expected, results, strict=True):
                comparison.x(f"{call.function:#x}, {what}", wanted, result.x[: len(wanted)])
    compare_fixed(comparison, vm.vcpus, registers, values, f"after {REPETITIONS} runs")
    comparison.done()
