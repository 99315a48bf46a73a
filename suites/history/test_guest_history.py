# SPDX-License-Identifier: GPL-2.0-only
"""Many hypercalls and runs on one VM: each answer is the one that the first call of its kind got."""

from __future__ import annotations

import struct

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS
from helpers.contract.registers import STD, VENDOR_HYP, Register
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.calls import GARBAGE
from suites.support.held import compare_fixed

REPETITIONS = 70
"""More than 64 runs and forwarded calls, and more than 128 denied and served ones of each function."""
_FORWARDED, _ANSWER = 0x86001000, 0x5EED
_UID = (0xB66FB428, 0xE911C52E, 0x564BCAA9, 0x743A004D)
_SERVICES = {STD: (0x84000050, (0x10000, 0, 0, 0)), VENDOR_HYP: (0x8600FF01, _UID)}
"""A function of each register, and its answer."""


@pytest.mark.clause("HISTORY-1", "CALL-1", "CALL-2", "FILTER-8", "LOCK-1")
@pytest.mark.parametrize("full", _SERVICES)
def test_many_calls_and_runs(full: str, make_vm: MakeVm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """Served, denied and forwarded calls, on both vCPUs in turn. Then the registers are still locked."""
    if not contract.smccc_filter:
        pytest.skip("not applicable, because this kernel has no SMCCC filter (KVM_HAS_DEVICE_ATTR)")
    vm, comparison = make_vm(2), Comparison()
    if not {*_SERVICES} <= {register.name for register in registers}:
        pytest.skip("not applicable, because this kernel lacks one of the registers (KVM_GET_REG_LIST)")
    values = {r.name: r.mask if r.name == full else 0 for r in registers}
    needs_no_bit = {f.id for f in FUNCTIONS if f.gated(contract.dialect) is None}
    rows = [(f, x if name == full or f in needs_no_bit else CLOSED) for name, (f, x) in _SERVICES.items()]
    expected: list[tuple[int, tuple[int, ...]]] = [*rows, (_FORWARDED, (_ANSWER,)), *rows]
    vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
    vm.set_filter(_FORWARDED, 1, uapi.KVM_SMCCC_FILTER_FWD_TO_USER)
    calls = [Call(function, GARBAGE) for function, _ in expected]
    program, x0 = KvmProgram(deadline_ms=60_000), uapi.core_x(0)
    runs = []
    with program.concurrently() as stage, stage.thread(repeat=REPETITIONS):
        for vcpu in vm.vcpus:
            guests.put_calls(program, vm.memory, calls)
            program.run(vcpu.fd)
            record = program.peek(vcpu.run_address, uapi.offset("kvm_run_hypercall", "nr") + 8)
            program.set_reg(vcpu.fd, program.one_reg(RegisterId("x0", x0), _ANSWER))
            ran = program.run(vcpu.fd)
            runs.append((vcpu, record, guests.take_calls(program, ran, vm.memory, calls)))
    answer = vm.kvm.subject.run(program)
    for vcpu, record, mailbox in runs:
        for turn in range(REPETITIONS):
            what = f"repetition {turn + 1} on vCPU {vcpu.index}"
            data = answer.results[record.index][turn].data
            (reason,) = struct.unpack_from("<I", data, uapi.offset("kvm_run_hypercall", "exit_reason"))
            comparison.value(f"exit reason, {what}", uapi.KVM_EXIT_HYPERCALL, reason)
            results = guests.read(answer.results[mailbox.index][turn].data)
            for (function, wanted), result in zip(expected, results, strict=True):
                comparison.x(f"{function:#x}, {what}", wanted, result.x[: len(wanted)])
    compare_fixed(comparison, vm.vcpus, registers, values, f"after {REPETITIONS} runs")
    comparison.done()
