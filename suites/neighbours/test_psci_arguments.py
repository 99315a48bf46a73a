# SPDX-License-Identifier: GPL-2.0-only
"""Arguments of PSCI calls: their width, reserved bits, affinity levels, and what CPU_ON does with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.neighbours import ALREADY_ON, INVALID_PARAMETERS, PSCI_CALLS, PSCI_VERSION
from helpers.contract.psci import (
    AFFINITY_INFO,
    BIT_64,
    CPU_ON,
    CPU_SUSPEND,
    MPIDR_AFFINITY,
    affinity_info,
    mpidr,
    narrowed,
)
from helpers.contract.registers import Register
from helpers.executor.program import Arg
from helpers.guest_layout import MEMORY_IPA
from helpers.kvm import PSCI_0_2, Kvm, Vcpu, Vm
from helpers.kvm_program import PC
from helpers.smccc import NOT_SUPPORTED, Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from helpers.uapi.system_registers import sys_reg_id
from suites.conftest import MakeVm
from suites.neighbours.interrupt import raise_interrupt
from suites.support.calls import CONDUITS, GARBAGE, Form
from suites.support.mp_state import (
    OFF,
    RUNNABLE,
    STOPPED,
    States,
    compare_mp_states,
    init_again,
    set_mp_state,
    vcpu_states,
)

_HIGH = 0x5555_AAAA_0000_0000
_RESERVED = (1 << 24, 1 << 30, 1 << 31, 1 << 40, 1 << 63)
"""Bits of a target outside the affinity fields (Arm DEN0022, 5.1.4)."""
_FIELDS = (0, 1, 2, 0x0F, 0x11, 0x100, 0x101, 0x102, 0x1FF, 0x200, 0x10000, 0x10001, 1 << 32)
_LEVELS = (0, 1, 2, 3, 4, 0x80000000, 0xFFFFFFFF)
_X8_ON = tuple(range(0x108, 0x112))
"""x8 to x17 as the guest sets them before each call."""


@pytest.fixture
def clusters(kvm: Kvm, registers: tuple[Register, ...]) -> Iterator[Vm]:
    """vCPUs that are on and off, in two groups of affinity level 1 if the host has ids for them."""
    with kvm.create_vm((0,)) as vm:
        room = vm.check_extension(uapi.KVM_CAP_MAX_VCPUS) > 0x12
        vm.create_vcpu(OFF, number=1)
        vm.create_vcpu(OFF, number=0x10 if room else 2)
        vm.create_vcpu(number=0x11 if room else 3)
        yield vm


def _cpus(vm: Vm) -> dict[int, bool]:
    """Whether each vCPU of the fixture is on, by its affinity fields."""
    return {mpidr(vcpu.index): vcpu in (vm.vcpus[0], vm.vcpus[3]) for vcpu in vm.vcpus}


def _compare(c: Comparison, vcpu: Vcpu, calls: list[Call], expected: list[int], served: bool) -> None:
    """Compares x0 to x3, and x4 to x17, which the call must not change."""
    for call, x0, result in zip(calls, expected, guests.calls(vcpu, calls), strict=True):
        arguments = " ".join(f"{arg:#x}" for arg in call.args[:3])
        what = f"{call.conduit.name} {call.function:#x} {arguments} on vCPU {vcpu.index}"
        c.x(what, (x0, 0, 0, 0) if served else (NOT_SUPPORTED, *call.registers[1:4]), result.x0_3)
        kept = (*call.registers[4:8], *_X8_ON)
        c.that(result.x[4:] == kept, f"x4 to x17 after {what}", str(kept), str(result.x[4:]))


@pytest.mark.clause("PSCI-6", "CALL-4")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_halves(form: Form, kvm: Kvm, registers: tuple[Register, ...], contract: Probe) -> None:
    """A call with a 32-bit id has the same answer whatever the upper halves of x0 to x3."""
    comparison = Comparison()
    with kvm.create_vm() as vm:
        vm.create_vcpu(OFF)
        version = vm.vcpu.get_reg(PSCI_VERSION)
        rows = [row for row in PSCI_CALLS if not row.id & BIT_64 and version <= row.until]
        calls = []
        for row in rows:
            args = tuple(_HIGH | arg for arg in row.args)
            calls.append(Call(_HIGH | row.id, (*args, *GARBAGE[len(args) :]), form.conduit))
        expected = [row.answer(version) for row in rows]
        _compare(comparison, vm.vcpu, calls, expected, form.served(contract.smc))
    comparison.done()


@pytest.mark.clause("PSCI-6", "PSCI-7")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_affinity_info(form: Form, clusters: Vm, contract: Probe) -> None:
    """AFFINITY_INFO of every target at every level, by both function ids, from the first vCPU and from the last."""
    cpus, comparison = _cpus(clusters), Comparison()
    targets = (*_FIELDS, *(1 | bit for bit in _RESERVED), (1 << 64) - 1, _HIGH | 1)
    rows = [(AFFINITY_INFO | wide, (target, level)) for wide in (0, BIT_64) for target in targets for level in _LEVELS]
    rows += [(AFFINITY_INFO, (_HIGH | target, _HIGH | level)) for target in _FIELDS for level in _LEVELS]
    calls = [Call(function, (*args, *GARBAGE[2:]), form.conduit) for function, args in rows]
    expected = [affinity_info(cpus, *narrowed(*row)) for row in rows]
    for vcpu in (clusters.vcpus[0], clusters.vcpus[3]):
        _compare(comparison, vcpu, calls, expected, form.served(contract.smc))
    comparison.done()


def _cpu_on_error(cpus: dict[int, bool], target: int) -> int | None:
    """x0 of a refused CPU_ON; None for a vCPU that is off (psci.c:kvm_psci_vcpu_on)."""
    if target & ~MPIDR_AFFINITY or target not in cpus:
        return INVALID_PARAMETERS
    return ALREADY_ON if cpus[target] else None


@pytest.mark.clause("PSCI-7", "PSCI-8")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_cpu_on_refused(form: Form, clusters: Vm, contract: Probe) -> None:
    """A target with reserved bits, no vCPU, or one that is on: an error, and no vCPU's state or PC changes."""
    cpus, comparison, served = _cpus(clusters), Comparison(), form.served(contract.smc)
    targets = (*_FIELDS, *(cpu | bit for cpu in (0, 1) for bit in _RESERVED), (1 << 64) - 1)
    rows = [(CPU_ON | wide, target) for wide in (0, BIT_64) for target in targets]
    answers = [(row, _cpu_on_error(cpus, *narrowed(row[0], row[1:]))) for row in rows]
    refused = [(function, target, error) for (function, target), error in answers if error is not None]
    calls = [
        Call(function, (target, MEMORY_IPA + 0x100, *GARBAGE[2:]), form.conduit) for function, target, _ in refused
    ]
    batch = clusters.batch()
    before = [batch.get(vcpu, PC) for vcpu in clusters.vcpus[1:]]
    batch.run()
    _compare(comparison, clusters.vcpu, calls, [error for *_, error in refused], served)
    batch = clusters.batch()
    states, after = vcpu_states(batch, clusters.vcpus), [batch.get(vcpu, PC) for vcpu in clusters.vcpus[1:]]
    batch.run()
    expected = {vcpu.index: RUNNABLE if cpus[mpidr(vcpu.index)] else STOPPED for vcpu in clusters.vcpus}
    compare_mp_states(comparison, states, expected, "after refused CPU_ONs")
    for vcpu, was, now in zip(clusters.vcpus[1:], before, after, strict=True):
        comparison.value(f"PC of vCPU {vcpu.index} after refused CPU_ONs", was.ok().value or 0, now.value)
    comparison.done()


@pytest.mark.clause("PSCI-7", "PSCI-8")
def test_suspended_target(registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """A vCPU that user space has suspended is on for AFFINITY_INFO and CPU_ON, and stays suspended."""
    vm, comparison = make_vm(3), Comparison()
    if not vm.check_extension(uapi.KVM_CAP_ARM_SYSTEM_SUSPEND):
        pytest.skip("not applicable, because KVM_CAP_ARM_SYSTEM_SUSPEND reads 0")
    batch = vm.batch()
    set_mp_state(batch, vm.vcpus[2], uapi.KVM_MP_STATE_SUSPENDED)
    batch.run()
    calls = [Call(f | wide, (2, 0, *GARBAGE[2:])) for f in (AFFINITY_INFO, CPU_ON) for wide in (0, BIT_64)]
    _compare(comparison, vm.vcpu, calls, [0, 0, ALREADY_ON, ALREADY_ON], True)
    batch = vm.batch()
    states = vcpu_states(batch, vm.vcpus)
    batch.run()
    expected = {0: RUNNABLE, 1: RUNNABLE, 2: uapi.KVM_MP_STATE_SUSPENDED}
    compare_mp_states(comparison, states, expected, "after calls for a suspended vCPU")
    comparison.done()


_MPIDR_EL1 = RegisterId("MPIDR_EL1", sys_reg_id(3, 0, 0, 0, 5))
_STATE = (
    PC,
    RegisterId("x0", uapi.core_x(0)),
    RegisterId("pstate", uapi.KVM_REG_ARM_CORE_PSTATE),
    RegisterId("SCTLR_EL1", uapi.KVM_REG_ARM_SCTLR_EL1),
)
_PSTATE_BITS, _EL1H_MASKED = 0x3DF, 0x3C5
"""D, A, I, F and the mode in PSTATE, and EL1h with all four set."""
_SCTLR_ON = 1 << 25 | 1 << 2 | 1 << 0
"""SCTLR_EL1.EE, C and M: big-endian, data cache and MMU."""


_ENTRY = 0x5432_0000_0000 | MEMORY_IPA
_CPU_ONS = ((CPU_ON | BIT_64, 0, _ENTRY), (CPU_ON | BIT_64, 0, 0), (CPU_ON, _HIGH, _ENTRY))
"""The function, the upper half of its target, and the entry point."""


@dataclass(frozen=True)
class _Start:
    """A CPU_ON and another one, the target's state before and after each, and the CPU_ONs' results."""

    call: Call
    off: States
    results: tuple[tuple[Pending, Arg], ...]
    on: tuple[States, ...]
    state: tuple[tuple[Pending, ...], ...]


def _start(batch: Batch, vm: Vm, target: Vcpu, call: Call) -> _Start:
    """Puts the target into another state than CPU_ON defines, then makes the call, then one with other arguments."""
    init_again(batch, target, OFF)
    for register, value in zip(_STATE, (MEMORY_IPA + 0x40, 0xDEAD, 0x4, 0x30D0180D), strict=True):
        batch.set(target, register, value)
    off, results, on, state = vcpu_states(batch, [target]), [], [], []
    again = Call(call.function, (call.args[0], MEMORY_IPA + 0x80, 0xBEEF, *call.args[3:]), call.conduit)
    for each in (call, again):
        guests.put_calls(batch.program, vm.memory, [each])
        run = batch.run_vcpu(vm.vcpu)
        results.append((run, guests.take_calls(batch.program, run.ref, vm.memory, [each])))
        on.append(vcpu_states(batch, [target]))
        if target is vm.vcpus[2]:
            # It does not cancel the reset that CPU_ON requested.
            set_mp_state(batch, target, RUNNABLE)
        # The next ioctl on the target, KVM_GET_ONE_REG here, does the reset that CPU_ON requested.
        state.append(tuple(batch.get(target, register) for register in _STATE))
    return _Start(call, off, tuple(results), tuple(on), tuple(state))


@pytest.mark.clause("PSCI-6", "PSCI-8")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_cpu_on(form: Form, clusters: Vm, contract: Probe) -> None:
    """Entry and context are the arguments, 32 or 64 bits wide, also 0. A second CPU_ON changes neither.

    The vCPU that starts at 0 has run a guest before.
    """
    if not form.served(contract.smc):
        pytest.skip("not applicable, because this kernel does not serve SMC (SMCCC_VERSION gives NOT_SUPPORTED there)")
    batch, comparison, starts = clusters.batch(), Comparison(), []
    for target in clusters.vcpus[1:3]:
        for function, high, entry in _CPU_ONS:
            if not entry:
                init_again(batch, target, PSCI_0_2)
                guests.put_calls(batch.program, clusters.memory, ())
                batch.run_vcpu(target)
                # Completes the store that made the guest exit.
                batch.run_with_immediate_exit(target)
            args = (high | mpidr(target.index), entry, 0xFEDC_BA98_7654_3210, *GARBAGE[3:])
            starts.append((target, _start(batch, clusters, target, Call(function, args, form.conduit))))
    answer = batch.run()
    for target, start in starts:
        what = f"{form.name} {start.call.function:#x} of vCPU {target.index} at {start.call.args[1]:#x}"
        compare_mp_states(comparison, start.off, {target.index: STOPPED}, f"before {what}")
        _, wanted_pc, context = narrowed(start.call.function, start.call.args[:3])
        for n, (when, x0) in enumerate((("", 0), (" again", ALREADY_ON))):
            run, mailbox = start.results[n]
            run.ok()
            comparison.x(what + when, (x0, 0, 0, 0), guests.read(answer[mailbox].data)[0].x0_3)
            compare_mp_states(comparison, start.on[n], {target.index: RUNNABLE}, f"after {what}{when}")
            pc, x, pstate, sctlr = (read.ok().value or 0 for read in start.state[n])
            comparison.x(f"entry and context after {what}{when}", (wanted_pc, context), (pc, x))
            comparison.value(f"DAIF and mode after {what}{when}", _EL1H_MASKED, pstate & _PSTATE_BITS)
            comparison.value(f"SCTLR_EL1.EE, C, M after {what}{when}", 0, sctlr & _SCTLR_ON)
    for target in clusters.vcpus[1:3]:
        seen = guests.call(target, Call(AFFINITY_INFO, (mpidr(target.index), 0), form.conduit)).x0_3
        comparison.x(f"{form.name} AFFINITY_INFO on vCPU {target.index}", (0, 0, 0, 0), seen)
    comparison.done()


@pytest.mark.clause("RUN-8", "PSCI-8")
def test_init_after_cpu_on(registers: tuple[Register, ...], kvm: Kvm) -> None:
    """KVM_ARM_VCPU_INIT of a vCPU that CPU_ON has started resets its registers: entry and context are gone."""
    comparison = Comparison()
    with kvm.create_vm((0,)) as vm:
        target = vm.create_vcpu(OFF)
        started = guests.call(vm.vcpu, Call(CPU_ON | BIT_64, (1, MEMORY_IPA, 0x1234, *GARBAGE[3:])))
        comparison.x("CPU_ON of vCPU 1", (0, 0, 0, 0), started.x0_3)
        guests.call(target, Call(AFFINITY_INFO, (1, 0)))
        batch = vm.batch()
        init = batch.pending(
            "KVM_ARM_VCPU_INIT", batch.program.init_vcpu(target.fd, batch.program.prepare_init(vm.fd, OFF)[1])
        )
        reads = [batch.get(target, register) for register in _STATE]
        batch.run()
        comparison.error("KVM_ARM_VCPU_INIT of a vCPU that CPU_ON has started", 0, init.errno)
        pc, x, pstate, sctlr = (read.ok().value or 0 for read in reads)
        comparison.x("PC and x0 after KVM_ARM_VCPU_INIT", (0, 0), (pc, x))
        comparison.value("DAIF and mode after KVM_ARM_VCPU_INIT", _EL1H_MASKED, pstate & _PSTATE_BITS)
        comparison.value("SCTLR_EL1.EE, C, M after KVM_ARM_VCPU_INIT", 0, sctlr & _SCTLR_ON)
    comparison.done()


@pytest.mark.clause("PSCI-7", "PSCI-8")
def test_identity_of_user_space(registers: tuple[Register, ...], kvm: Kvm) -> None:
    """The target of AFFINITY_INFO and CPU_ON is a vCPU's MPIDR_EL1, also if user space has written it."""
    comparison, affinity = Comparison(), 0x3_0201
    with kvm.create_vm((0,)) as vm:
        target = vm.create_vcpu(OFF)
        if target.try_set_reg(_MPIDR_EL1, 1 << 31 | affinity):
            pytest.skip("not applicable, because this kernel does not accept another MPIDR_EL1")
        rows = [(AFFINITY_INFO, 1, INVALID_PARAMETERS), (AFFINITY_INFO, affinity, 1)]
        rows += [(CPU_ON, 1, INVALID_PARAMETERS), (CPU_ON, affinity, 0), (AFFINITY_INFO, affinity, 0)]
        calls = [Call(function | BIT_64, (cpu, 0, *GARBAGE[2:])) for function, cpu, _ in rows]
        _compare(comparison, vm.vcpu, calls, [x0 for *_, x0 in rows], True)
    comparison.done()


_POWER_STATES = (0, 1, 0xFFFF, 1 << 16, 1 << 24, 0x0301_0001, 1 << 30)
"""StateID (15:0), standby or power-down (16), and power level (25:24) in the original format, and
power-down (30) in the extended one (Arm DEN0022, 5.4.2).
"""


@pytest.mark.clause("PSCI-13", "CALL-4")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_cpu_suspend(form: Form, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """With an interrupt pending it succeeds whatever its arguments, and the guest continues after the call."""
    vm, comparison = make_vm(), Comparison()
    raise_interrupt(vm)
    rows = [(CPU_SUSPEND | wide, state) for wide in (0, BIT_64) for state in _POWER_STATES]
    rows += [(CPU_SUSPEND, _HIGH | state) for state in _POWER_STATES]
    calls = [Call(function, (state, MEMORY_IPA, *GARBAGE[2:]), form.conduit) for function, state in rows]
    _compare(comparison, vm.vcpu, calls, [0] * len(calls), form.served(contract.smc))
    comparison.done()
