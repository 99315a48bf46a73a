# SPDX-License-Identifier: GPL-2.0-only
"""PSCI's calls that end or suspend the system: the exit to user space, and the vCPUs' states after it."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.neighbours import INTERNAL_FAILURE, INVALID_PARAMETERS, PSCI_0_2, PSCI_1_0, PSCI_VERSION
from helpers.contract.newer import LATEST_PSCI
from helpers.contract.psci import (
    BIT_64,
    EVENT_CALLS,
    PSCI_FEATURES,
    REFUSED_EVENTS,
    SYSTEM_SUSPEND,
    EventCall,
    narrowed,
)
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg
from helpers.kvm import PSCI_0_2 as FEATURES
from helpers.kvm import Kvm, Vcpu, Vm
from helpers.kvm_program import PC, GuestRun
from helpers.smccc import NOT_SUPPORTED, Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.calls import CONDUITS, GARBAGE, Form
from suites.support.mp_state import (
    RUNNABLE,
    STOPPED,
    States,
    compare_mp_states,
    init_again,
    set_mp_state,
    vcpu_states,
)

_RECORD = uapi.offset("kvm_run_hypercall", "nr")
"""Offset of KVM_EXIT_SYSTEM_EVENT's record in struct kvm_run: type, ndata (u32 each) and data (u64 each)."""
_X = tuple(RegisterId(f"x{n}", uapi.core_x(n)) for n in range(3))


def _served(form: Form, contract: Probe) -> Form:
    if not form.served(contract.smc):
        pytest.skip("not applicable, because this kernel does not serve SMC (SMCCC_VERSION gives NOT_SUPPORTED there)")
    return form


@dataclass(frozen=True)
class _Stop:
    """A call on ``caller`` that ends the system, with what is read after it and after the guest's next run."""

    row: EventCall
    call: Call
    caller: Vcpu
    run: Pending
    record: Arg
    x: tuple[Pending, ...]
    pc: Pending
    others: tuple[tuple[Vcpu, Pending], ...]
    stopped: States
    refused: Pending
    after_refused: States
    resumed: Pending
    mailbox: Arg
    after_resumed: States
    after_init: States


def _stop(batch: Batch, vm: Vm, caller: Vcpu, row: EventCall, form: Form) -> _Stop:
    """Makes the call, tries KVM_RUN, has user space make the caller runnable, and initialises every vCPU again."""
    program, call = batch.program, Call(row.function, (*row.args, *GARBAGE[len(row.args) :]), form.conduit)
    guests.put_calls(program, vm.memory, [call])
    # The pattern shows which bytes of the record an exit does not write.
    program.poke(caller.run_address + _RECORD, b"\xa5" * 24)
    run = batch.run_vcpu(caller)
    record = program.peek(caller.run_address, _RECORD + 16)
    program.descriptions[run.ref.index] = GuestRun(record=record)
    x, pc = tuple(batch.get(caller, each) for each in _X), batch.get(caller, PC)
    others = tuple((vcpu, batch.get(vcpu, PC)) for vcpu in vm.vcpus if vcpu is not caller)
    stopped = vcpu_states(batch, vm.vcpus)
    refused = batch.run_with_immediate_exit(caller)
    after_refused = vcpu_states(batch, vm.vcpus)
    set_mp_state(batch, caller, RUNNABLE)
    resumed = batch.run_vcpu(caller)
    last = program.peek(caller.run_address, uapi.ffi.sizeof("struct kvm_run_mmio"))
    mailbox = guests.take_calls(program, resumed.ref, vm.memory, [call], record=last)
    after_resumed = vcpu_states(batch, vm.vcpus)
    program.run_with_immediate_exit(caller.fd, caller.run_address)
    for vcpu in vm.vcpus:
        init_again(batch, vcpu, FEATURES)
    after_init = vcpu_states(batch, vm.vcpus)
    return _Stop(
        row, call, caller, run, record, x, pc, others, stopped, refused, after_refused, resumed, mailbox, after_resumed,
        after_init,
    )  # fmt: skip


def _compare_exit(c: Comparison, stop: _Stop, answer: Answer, with_data: bool, what: str) -> None:
    """Compares the record and the caller's registers. ``with_data``: the kernel has KVM_CAP_SYSTEM_EVENT_DATA."""
    row, data = stop.row, answer[stop.record].data
    c.error(f"KVM_RUN of {what}", 0, stop.run.errno)
    (reason,) = struct.unpack_from("<I", data, uapi.offset("kvm_run_hypercall", "exit_reason"))
    c.value(f"exit reason of {what}", uapi.KVM_EXIT_SYSTEM_EVENT, reason)
    record = struct.unpack_from("<IIQ", data, _RECORD)
    c.value(f"type of {what}", row.kind, record[0])
    if with_data:
        c.that(record[1:] == (1, row.data), f"ndata and data[0] of {what}", str((1, row.data)), str(record[1:]))
    c.value(f"PC after {what}", guests.return_address(stop.caller.vm.kvm.image.code, stop.call.conduit), stop.pc.value)
    c.value(f"x0 after {what}", INTERNAL_FAILURE, stop.x[0].value)
    for n, bits in enumerate(row.kept, 1):
        if bits:
            c.value(f"x{n} after {what}", stop.call.registers[n] & bits, (stop.x[n].value or 0) & bits)


def _compare_vcpus(c: Comparison, stop: _Stop, entry: dict[int, int], answer: Answer, what: str) -> None:
    """Every vCPU is stopped until user space makes it runnable, and the caller then gets INTERNAL_FAILURE."""
    all_stopped = {index: STOPPED for index, _ in stop.stopped}
    caller_runs = all_stopped | {stop.caller.index: RUNNABLE}
    for vcpu, pc in stop.others:
        c.value(f"PC of vCPU {vcpu.index} after {what}", entry[vcpu.index], pc.value)
    compare_mp_states(c, stop.stopped, all_stopped, f"after {what}")
    c.error(f"KVM_RUN with immediate_exit after {what}", errno.EINTR, stop.refused.errno)
    compare_mp_states(c, stop.after_refused, all_stopped, f"after {what} and KVM_RUN with immediate_exit")
    c.error(f"KVM_RUN of a runnable vCPU after {what}", 0, stop.resumed.errno)
    (result,) = guests.read(answer[stop.mailbox].data)
    c.value(f"x0 that the guest finds after {what}", INTERNAL_FAILURE, result.x[0])
    compare_mp_states(c, stop.after_resumed, caller_runs, f"after {what} and a run of the caller")
    compare_mp_states(c, stop.after_init, dict.fromkeys(all_stopped, RUNNABLE), f"initialised again after {what}")


@pytest.mark.clause("PSCI-9", "PSCI-10")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_exit(form: Form, kvm: Kvm, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """Each call exits with its event and stops all vCPUs. The three vCPUs make the calls in turn.

    SYSTEM_OFF and SYSTEM_RESET do so in every version of PSCI.
    """
    vm, comparison = make_vm(3), Comparison()
    form = _served(form, contract)
    version, with_data = vm.vcpu.get_reg(PSCI_VERSION), bool(kvm.check_extension(uapi.KVM_CAP_SYSTEM_EVENT_DATA))
    entry = {vcpu.index: vcpu.get_reg(PC) for vcpu in vm.vcpus}
    batch = vm.batch()
    rows = [(row, version) for row in EVENT_CALLS if row.since <= version]
    rows += [(row, earlier) for earlier in (PSCI_1_0, PSCI_0_2) for row in EVENT_CALLS[:2]]
    stops = []
    for n, (row, psci) in enumerate(rows):
        batch.set(vm.vcpu, PSCI_VERSION, psci)
        stops.append(_stop(batch, vm, vm.vcpus[n % 3], row, form))
    answer = batch.run()
    for stop, (_, psci) in zip(stops, rows, strict=True):
        what = f"{form.name} {stop.row.name}, PSCI {psci:#x}, on vCPU {stop.caller.index}"
        _compare_exit(comparison, stop, answer, with_data, what)
        _compare_vcpus(comparison, stop, entry, answer, what)
    comparison.done()


@pytest.mark.clause("PSCI-11")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_refused(form: Form, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """Reserved types give INVALID_PARAMETERS, versions without the call NOT_SUPPORTED, and no vCPU stops."""
    vm, comparison, form = make_vm(2), Comparison(), _served(form, contract)
    latest = vm.vcpu.get_reg(PSCI_VERSION)
    for version in (PSCI_0_2, *range(PSCI_1_0, min(latest, LATEST_PSCI) + 1)):
        vm.vcpu.set_reg(PSCI_VERSION, version)
        rows = [
            (n, Call(f, a, form.conduit), INVALID_PARAMETERS) for n, f, a, since in REFUSED_EVENTS if since <= version
        ]
        later = [row for row in EVENT_CALLS if row.since > version]
        rows += [(row.name, Call(row.function, row.args, form.conduit), NOT_SUPPORTED) for row in later]
        for (name, _, x0), result in zip(rows, guests.calls(vm.vcpu, [call for _, call, _ in rows]), strict=True):
            comparison.x(f"{form.name} {name}, PSCI {version:#x}", (x0, 0, 0, 0), result.x0_3)
    batch = vm.batch()
    states = vcpu_states(batch, vm.vcpus)
    batch.run()
    compare_mp_states(comparison, states, {0: RUNNABLE, 1: RUNNABLE}, "after refused calls")
    comparison.done()


def _enable_suspend(vm: Vm) -> None:
    if not vm.check_extension(uapi.KVM_CAP_ARM_SYSTEM_SUSPEND):
        pytest.skip("not applicable, because KVM_CAP_ARM_SYSTEM_SUSPEND reads 0")
    batch = vm.batch()
    request = batch.program.capability_request(uapi.KVM_CAP_ARM_SYSTEM_SUSPEND)
    enabled = batch.call("KVM_ENABLE_CAP", vm.fd, uapi.KVM_ENABLE_CAP, request)
    batch.run()
    enabled.ok()


def _compare_suspend(c: Comparison, vcpu: Vcpu, call: Call) -> None:
    """The call exits with its id and arguments in the registers, and the guest gets user space's answer."""
    left, result = guests.exiting_call(vcpu, call, (INVALID_PARAMETERS,))
    what = f"{call.conduit.name} {call.function:#x} on vCPU {vcpu.index}"
    c.value(f"exit reason of {what}", uapi.KVM_EXIT_SYSTEM_EVENT, left.reason)
    c.value(f"system event of {what}", uapi.KVM_SYSTEM_EVENT_SUSPEND, left.system_event)
    c.value(f"ndata of {what}", 0, left.ndata)
    c.value(f"PC after {what}", guests.return_address(vcpu.vm.kvm.image.code, call.conduit), left.pc)
    c.value(f"x0 at the exit of {what}", call.function, left.x[0])
    # A call with a 32-bit id uses only the lower halves of its arguments.
    expected, kept = (narrowed(call.function, x[1:4]) for x in (call.registers, left.x))
    c.x(f"x1 to x3 after {what}", expected, kept)
    c.x(f"x4 to x7 after {what}", call.registers[4:8], left.x[4:8])
    c.value(f"x0 that the guest finds after {what}", INVALID_PARAMETERS, result.x[0])


@pytest.mark.clause("PSCI-12")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_suspend(form: Form, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """NOT_SUPPORTED without the capability and for PSCI 0.2, otherwise an exit that changes no vCPU's state."""
    vm, comparison, form = make_vm(2), Comparison(), _served(form, contract)
    queries = [Call(PSCI_FEATURES, (SYSTEM_SUSPEND | wide,), form.conduit) for wide in (0, BIT_64)]
    suspends = [Call(SYSTEM_SUSPEND | wide, GARBAGE, form.conduit) for wide in (0, BIT_64)]

    def compare_answers(calls: list[Call], x0: int, when: str) -> None:
        for call, result in zip(calls, guests.calls(vm.vcpu, calls), strict=True):
            comparison.x(f"{form.name} {call.function:#x} {call.args[0]:#x} {when}", (x0, 0, 0, 0), result.x0_3)

    compare_answers([*queries, *suspends], NOT_SUPPORTED, "without the capability")
    _enable_suspend(vm)
    for vcpu, version in zip(vm.vcpus, (vm.vcpu.get_reg(PSCI_VERSION), PSCI_1_0), strict=True):
        vm.vcpu.set_reg(PSCI_VERSION, version)
        compare_answers(queries, 0, f"with the capability and PSCI {version:#x}")
        for call in suspends:
            _compare_suspend(comparison, vcpu, call)
    batch = vm.batch()
    states = vcpu_states(batch, vm.vcpus)
    batch.run()
    compare_mp_states(comparison, states, {0: RUNNABLE, 1: RUNNABLE}, "after SYSTEM_SUSPEND")
    vm.vcpu.set_reg(PSCI_VERSION, PSCI_0_2)
    compare_answers([*queries, *suspends], NOT_SUPPORTED, "with PSCI 0.2")
    comparison.done()
