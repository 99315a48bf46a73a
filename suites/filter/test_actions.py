# SPDX-License-Identifier: GPL-2.0-only
"""The filter's actions, and their precedence over the bitmap registers."""

from __future__ import annotations

from itertools import product

import pytest

from helpers import guests
from helpers.batch import Batch
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS, UPPER, Function, Ranges, Situation, X
from helpers.contract.registers import Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm, Vcpu, Vm
from helpers.smccc import NOT_SUPPORTED, Call, Conduit, show_registers
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.answer import compare_x
from suites.support.calls import CONDUITS, GARBAGE, HVC, SMC, Form, call_of, hold
from suites.support.kept import compare_kept, fill_kept

HANDLE, DENY, FORWARD = uapi.KVM_SMCCC_FILTER_HANDLE, uapi.KVM_SMCCC_FILTER_DENY, uapi.KVM_SMCCC_FILTER_FWD_TO_USER
ACTIONS = {"no_filter": None, "HANDLE": HANDLE, "DENY": DENY, "FWD_TO_USER": FORWARD}
FILTERED = [f for f in FUNCTIONS if f.name in {
    "TRNG_VERSION", "TRNG_FEATURES.0x84000053", "TRNG_GET_UUID", "TRNG_RND32.0x61", "TRNG_RND64.0xc1",
    "PV_TIME_FEATURES.PV_TIME_ST", "PV_TIME_ST", "VENDOR_HYP_CALL_UID", "KVM_FEATURES", "KVM_PTP.UNKNOWN_COUNTER",
    "PSCI_FEATURES.SMCCC_VERSION", "DISCOVER_IMPL_VER", "DISCOVER_IMPL_CPUS", "UNKNOWN_STANDARD", "UNKNOWN_VENDOR_HYP",
} or f.added]  # fmt: skip
"""Every function that a filter can contain and whose answer is constant."""
FORMS = [
    pytest.param(HVC, id="HVC"), pytest.param(SMC, id="SMC"),
    pytest.param(Form("HVC #1", Conduit.HVC_1), id="HVC-imm_1"),
    pytest.param(Form("HVC #0xffff", Conduit.HVC_FFFF), id="HVC-imm_ffff"),
    pytest.param(Form("HVC upper half", Conduit.HVC, UPPER), id="HVC-upper_half"),
    pytest.param(Form("SMC upper half", Conduit.SMC, UPPER), id="SMC-upper_half"),
]  # fmt: skip
TRNG_VERSION = next(f for f in FUNCTIONS if f.name == "TRNG_VERSION")
REFUSED = (NOT_SUPPORTED, GARBAGE[0], GARBAGE[1], GARBAGE[2])


def _situation(registers: tuple[Register, ...], contract: Probe, level: str) -> Situation:
    values = {r.name: r.mask if level == "full" else 0 for r in registers}
    ipa = PV_TIME_IPA if contract.pv_time else None
    return Situation(contract.dialect, values, contract.arch_counter, ipa)


def _handled(c: Comparison, vcpu: Vcpu, call: Call, what: str, expected: X | Ranges) -> None:
    """The call does not exit to user space and returns ``expected``."""
    left, result = guests.exiting_call(vcpu, call)
    stayed = left.reason == uapi.KVM_EXIT_MMIO
    c.that(stayed, f"{what}: exit", "none before the end of the guest", f"exit reason {left.reason}")
    compare_x(c, what, expected, result.x0_3)


def _forwarded(c: Comparison, kvm: Kvm, vcpu: Vcpu, call: Call, what: str, answer: tuple[int, ...] = ()) -> None:
    """The call exits with its record and unchanged registers. The guest continues with ``answer``."""
    left, result = guests.exiting_call(vcpu, call, answer, ret=0x5A5A)
    c.that(left.reason == uapi.KVM_EXIT_HYPERCALL, f"{what}: exit", "KVM_EXIT_HYPERCALL", f"exit reason {left.reason}")
    flags = uapi.KVM_HYPERCALL_EXIT_SMC if call.conduit is Conduit.SMC else 0
    record = (call.function & 0xFFFFFFFF, (0,) * 6, 0, flags)
    c.that(left.hypercall == record, f"{what}: nr, args, ret, flags", str(record), str(left.hypercall))
    entered = (*call.registers, *range(0x108, 0x112))
    c.x(f"{what}: registers at the exit", entered, left.x)
    c.value(f"{what}: PC", guests.return_address(kvm.image.code, call.conduit), left.pc)
    c.x(f"{what}: the guest's registers after it continued", (*answer, *entered[len(answer) :]), result.x)


@pytest.mark.clause("FILTER-7", "FILTER-8", "FILTER-9")
@pytest.mark.parametrize("function", FILTERED, ids=lambda f: f.name)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("level", ["full", "empty"])
def test_precedence(
    level: str, action: str, function: Function, kvm: Kvm, filter_vm: MakeVm, registers: tuple[Register, ...],
    contract: Probe,
) -> None:  # fmt: skip
    """DENY and FWD_TO_USER precede the bitmap registers. With HANDLE or no range, the bitmap registers decide."""
    vm, situation, comparison = filter_vm(), _situation(registers, contract, level), Comparison()
    hold(vm, registers, situation)
    given = ACTIONS[action]
    if given is not None:
        vm.set_filter(function.id, 1, given)
    for form in CONDUITS:
        expected = function.expected(situation, form.conduit)
        assert not isinstance(expected, str), f"{function.name} has no fixed answer"
        what = f"{form.name} {function.name}, filter {action}, registers {level}"
        if given == FORWARD:
            _forwarded(comparison, kvm, vm.vcpu, call_of(function, form), what)
        else:
            _handled(comparison, vm.vcpu, call_of(function, form), what, CLOSED if given == DENY else expected)
    comparison.done()


@pytest.mark.clause("FILTER-12")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("action", [DENY, FORWARD], ids=["DENY", "FWD_TO_USER"])
def test_forms(action: int, form: Form, kvm: Kvm, filter_vm: MakeVm) -> None:
    """The filter applies to bits 31:0 of x0, by HVC with any immediate and by SMC #0, on each vCPU."""
    vm, comparison = filter_vm(2), Comparison()
    vm.set_filter(TRNG_VERSION.id, 1, action)
    for vcpu in vm.vcpus:
        what = f"{form.name} on vCPU {vcpu.index}"
        if action == DENY:
            _handled(comparison, vcpu, call_of(TRNG_VERSION, form), what, CLOSED)
        else:
            _forwarded(comparison, kvm, vcpu, call_of(TRNG_VERSION, form), what)
    comparison.done()


@pytest.mark.clause("SMC-2")
@pytest.mark.parametrize("conduit", [Conduit.SMC_1, Conduit.SMC_FFFF, Conduit.SMC_100], ids=lambda c: c.name)
@pytest.mark.parametrize("action", [DENY, FORWARD], ids=["DENY", "FWD_TO_USER"])
def test_smc_with_immediate(action: int, conduit: Conduit, filter_vm: MakeVm) -> None:
    """SMC with an immediate gives NOT_SUPPORTED, whatever the filter."""
    vm, comparison = filter_vm(), Comparison()
    vm.set_filter(TRNG_VERSION.id, 1, action)
    _handled(comparison, vm.vcpu, Call(TRNG_VERSION.id, GARBAGE, conduit), f"{conduit.name} TRNG_VERSION", REFUSED)
    comparison.done()


@pytest.mark.clause("FILTER-10", "FILTER-11")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
@pytest.mark.parametrize("function", [0x84000050, 0x84000000, 0xC600FF00, 0, 0x12345678, 0xFFFFFFFF], ids=hex)
@pytest.mark.parametrize("answer", [(), (0x1234,), (1 << 63, 2, 3, 4), tuple(range(18))], ids=lambda a: f"{len(a)}_set")
def test_record(answer: tuple[int, ...], function: int, form: Form, kvm: Kvm, filter_vm: MakeVm) -> None:
    """The exit has the record, registers and PC of the call, and the guest continues with the answer. Twice."""
    vm, comparison = filter_vm(), Comparison()
    vm.set_filter(function, 1, FORWARD)
    for turn in ("first", "second"):
        call = Call(function, GARBAGE, form.conduit)
        _forwarded(comparison, kvm, vm.vcpu, call, f"{form.name} {function:#x}, {turn} time", answer)
    comparison.done()


def _exits(batch: Batch, vm: Vm, calls: list[Call], count: int) -> list[tuple[int, int, int]]:
    """The exit reason, and nr and flags of the record, of ``count`` KVM_RUNs of a guest that makes the calls.

    All KVM_RUNs are in one round trip, with nothing between them. Raises KvmError if one of them fails.
    """
    guests.put_calls(batch.program, vm.memory, calls)
    size = uapi.ffi.sizeof("struct kvm_run_hypercall")
    runs = [(batch.run_vcpu(vm.vcpu), batch.program.peek(vm.vcpu.run_address, size)) for _ in range(count)]
    answer, exits = batch.run(), []
    for run, peek in runs:
        run.ok()
        record = uapi.ffi.from_buffer("struct kvm_run_hypercall *", answer[peek].data)
        exits.append((int(record.exit_reason), int(record.nr), int(record.hypercall_flags)))
    return exits


def _compare_forwarded(c: Comparison, vm: Vm, ranges: list[tuple[int, int, int]], what: str) -> None:
    """Sets the ranges (first function, number, action) in order. A guest calls every function once.

    Those of the ranges that forward leave the guest, and no others.
    """
    batch = vm.batch()
    filters = [batch.set_filter(vm.fd, *each) for each in ranges]
    functions = sorted((base + n, action) for base, count, action in ranges for n in range(count))
    expected = [function for function, action in functions if action == FORWARD]
    exits = _exits(batch, vm, [Call(function, GARBAGE) for function, _ in functions], len(expected) + 1)
    for each in filters:
        each.ok()
    actual = [nr for reason, nr, _ in exits if reason == uapi.KVM_EXIT_HYPERCALL]
    texts = [" ".join(map(hex, numbers)) for numbers in (expected, actual)]
    c.that(actual == expected, f"the forwarded functions of {what}", *texts)


@pytest.mark.clause("FILTER-13", "FILTER-9")
def test_adjacent_ranges(filter_vm: MakeVm) -> None:
    """Two ranges side by side keep their actions, whichever was set first. Each pair of actions occurs."""
    comparison = Comparison()
    ranges: list[tuple[int, int, int]] = []
    actions = (HANDLE, DENY, FORWARD)
    for number, (low, high, reverse) in enumerate(product(actions, actions, (False, True))):
        base = 0x86001000 + 8 * number
        pair = [(base, 2, low), (base + 2, 2, high)]
        ranges += reversed(pair) if reverse else pair
    _compare_forwarded(comparison, filter_vm(), ranges, "adjacent ranges")
    comparison.done()


@pytest.mark.clause("FILTER-13")
def test_hundred_ranges(filter_vm: MakeVm) -> None:
    """A hundred ranges of one function, each of which forwards its function."""
    comparison = Comparison()
    _compare_forwarded(comparison, filter_vm(), [(0x86001000 + 3 * n, 1, FORWARD) for n in range(100)], "100 ranges")
    comparison.done()


@pytest.mark.clause("FILTER-11")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_accesses_before_return(form: Form, filter_vm: MakeVm, registers: tuple[Register, ...]) -> None:
    """Accesses to the bitmap registers between a forwarded call and the next KVM_RUN do not change its answer."""
    vm, comparison, answer = filter_vm(2), Comparison(), (0x1234, 2, 3, 4)
    vm.set_filter(0x86001000, 1, FORWARD)
    call, batch = Call(0x86001000, GARBAGE, form.conduit), vm.batch()
    guests.put_calls(batch.program, vm.memory, [call])
    batch.run_vcpu(vm.vcpu)
    for number, value in enumerate(answer):
        batch.set(vm.vcpu, RegisterId(f"x{number}", uapi.core_x(number)), value)
    for vcpu, register in product(vm.vcpus, registers):
        for value in (register.reset, register.mask & ~register.reset, register.beyond):
            batch.set(vcpu, register, value)
        batch.get(vcpu, register)
    run = batch.run_vcpu(vm.vcpu)
    mailbox = guests.take_calls(batch.program, run.ref, vm.memory, [call])
    results = guests.read(batch.run()[mailbox].data)
    run.ok()
    comparison.x(f"{form.name} {call.function:#x}, which user space answers", answer, results[0].x0_3)
    comparison.done()


@pytest.mark.clause("FILTER-10")
def test_records_in_turn(filter_vm: MakeVm) -> None:
    """A record does not depend on the forwarded call before it, between which KVM_RUN returns for nothing else.

    Each pair of two functions and two conduits occurs.
    """
    vm, comparison = filter_vm(), Comparison()
    vm.set_filter(0x86001000, 2, FORWARD)
    one_each = [Call(0x86001000 + n, GARBAGE, form.conduit) for n in range(2) for form in CONDUITS]
    calls = [call for pair in product(one_each, repeat=2) for call in pair]
    for number, (call, actual) in enumerate(zip(calls, _exits(vm.batch(), vm, calls, len(calls)), strict=True), 1):
        flags = uapi.KVM_HYPERCALL_EXIT_SMC if call.conduit is Conduit.SMC else 0
        expected = (uapi.KVM_EXIT_HYPERCALL, call.function, flags)
        what = f"{call.conduit.name} {call.function:#x}, call {number}: exit reason, nr and flags"
        comparison.that(actual == expected, what, str(expected), str(actual))
    comparison.done()


def _answers(vm: Vm, ids: list[int]) -> list[tuple[int, ...]]:
    return [r.x0_3 for r in guests.calls(vm.vcpu, [Call(i, GARBAGE) for i in ids])]


@pytest.mark.clause("FILTER-13", "FILTER-12")
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("base", [0x84000050, 0x84000051, 0x84000052], ids=hex)
def test_range(base: int, count: int, filter_vm: MakeVm) -> None:
    """Of five functions, those in the range are denied. In another VM, none is denied."""
    denied, other, comparison = filter_vm(), filter_vm(), Comparison()
    ids = [0x84000000, 0x84000050, 0x84000051, 0x84000052, 0x84000053]
    calls = [Call(i, (0x84000050 if i == 0x84000051 else 0, *GARBAGE[1:])) for i in ids]
    denied.set_filter(base, count, DENY)
    plain = [r.x0_3 for r in guests.calls(other.vcpu, calls)]
    for function, without, result in zip(ids, plain, guests.calls(denied.vcpu, calls), strict=True):
        inside = base <= function < base + count
        comparison.x(f"{function:#x} with {base:#x} + {count} denied", CLOSED if inside else without, result.x0_3)
        comparison.that(
            without[0] != NOT_SUPPORTED, f"{function:#x} without a filter", "an answer", show_registers(without)
        )
    comparison.done()


@pytest.mark.clause("FILTER-13")
def test_many_ranges(filter_vm: MakeVm) -> None:
    """24 ranges of one function, with the actions in turn: exactly the forwarded ones exit to user space."""
    vm, comparison = filter_vm(), Comparison()
    ids = [0x86001000 + 3 * n for n in range(24)]
    batch = vm.batch()
    made = [batch.set_filter(vm.fd, i, 1, n % 3) for n, i in enumerate(ids)]
    batch.run()
    for each in made:
        each.ok()
    for n, function in enumerate(ids):
        left, _ = guests.exiting_call(vm.vcpu, Call(function, GARBAGE))
        expected = uapi.KVM_EXIT_HYPERCALL if n % 3 == FORWARD else uapi.KVM_EXIT_MMIO
        comparison.value(f"exit of {function:#x}", expected, left.reason)
    comparison.done()


@pytest.mark.clause("FILTER-13", "FILTER-9")
def test_other_functions_of_the_same_number(filter_vm: MakeVm) -> None:
    """A filter for a 32-bit id does not contain the 64-bit id of the function, nor the other way round."""
    vm, comparison = filter_vm(), Comparison()
    for function in (0x84000053, 0x84000004, 0xC4000003):
        vm.set_filter(function, 1, DENY)
    targets = {0xC4000053: (8,), 0xC4000004: (0, 0), 0x84000003: (0, 0)}
    calls = [Call(i, (*args, *GARBAGE[len(args) :])) for i, args in targets.items()]
    for call, result in zip(calls, guests.calls(vm.vcpu, calls), strict=True):
        served = result.x[0] != NOT_SUPPORTED
        comparison.that(served, f"{call.function:#x} beside its denied twin", "an answer", "NOT_SUPPORTED")
    for function, got in zip((0x84000053, 0xC4000003), _answers(vm, [0x84000053, 0xC4000003]), strict=True):
        comparison.x(f"{function:#x}, which is denied", CLOSED, got)
    comparison.done()


@pytest.mark.clause("FILTER-13")
def test_long_range(filter_vm: MakeVm) -> None:
    """A range of a million functions contains its first, last and other functions, and not the next one."""
    vm, comparison, base, count = filter_vm(), Comparison(), 0x85000000, 0x100000
    vm.set_filter(base, count, FORWARD)
    for function in (base - 1, base, base + 0x100, base + 0x10000, base + count - 1, base + count):
        left, _ = guests.exiting_call(vm.vcpu, Call(function, GARBAGE))
        inside = base <= function < base + count
        expected = uapi.KVM_EXIT_HYPERCALL if inside else uapi.KVM_EXIT_MMIO
        comparison.value(f"exit of {function:#x}, {base:#x} + {count:#x} forwarded", expected, left.reason)
    comparison.done()


@pytest.mark.clause("FILTER-10")
def test_forwarded_calls_keep_other_registers(filter_vm: MakeVm, contract: Probe) -> None:
    """x18 to x30, the stack pointers and the vector registers do not change at the exit of a forwarded call."""
    vm, comparison = filter_vm(), Comparison()
    vm.set_filter(0x86001000, 1, FORWARD)
    values = fill_kept(vm)
    for form in CONDUITS:
        left, _ = guests.exiting_call(vm.vcpu, Call(0x86001000, GARBAGE, form.conduit))
        comparison.value(f"exit reason of {form.name}", uapi.KVM_EXIT_HYPERCALL, left.reason)
        compare_kept(comparison, vm, values, f"after a forwarded {form.name}")
    comparison.done()


@pytest.mark.clause("FILTER-6")
def test_refused_filter_changes_nothing(filter_vm: MakeVm, contract: Probe) -> None:
    """Refused filters change no answer, before and after KVM_RUN."""
    vm, comparison = filter_vm(), Comparison()
    vm.set_filter(0x84000052, 1, DENY)
    refused = [(0x84000051, 2, FORWARD), (0x84000050, 1, 3), (0x84000050, 0, DENY), (0x80000000, 1, DENY)]
    ids = [0x84000050, 0x84000052, 0x80000000]
    expected = [(0x10000, 0, 0, 0), CLOSED, (contract.smccc, 0, 0, 0)]
    for turn in ("before", "after"):
        for base, count, action in refused:
            error = vm.try_set_filter(base, count, action)
            comparison.that(error != 0, f"filter {base:#x} {turn} the run", "an error", "success")
        for function, wanted, got in zip(ids, expected, _answers(vm, ids), strict=True):
            comparison.x(f"{function:#x}, refused filters {turn} the run", wanted, got)
    comparison.done()


@pytest.mark.clause("FILTER-9")
def test_all_of_psci_denied(filter_vm: MakeVm) -> None:
    """A denied range of PSCI functions denies PSCI, and no other service."""
    vm, comparison = filter_vm(), Comparison()
    vm.set_filter(0x84000000, 0x20, DENY)
    ids = [0x84000000, 0x8400000A, 0x84000004, 0x84000050]
    for function, got in zip(ids, _answers(vm, ids), strict=True):
        wanted = (0x10000, 0, 0, 0) if function == 0x84000050 else CLOSED
        comparison.x(f"{function:#x} with PSCI denied", wanted, got)
    comparison.done()


@pytest.mark.clause("ARCH-1", "FILTER-9")
@pytest.mark.parametrize("action", [DENY, FORWARD], ids=["DENY", "FWD_TO_USER"])
@pytest.mark.parametrize("level", ["full", "empty"])
def test_arch_features_asks_the_bitmaps(
    level: str, action: int, filter_vm: MakeVm, registers: tuple[Register, ...], contract: Probe
) -> None:
    """ARCH_FEATURES for PV_TIME_FEATURES depends on the bitmap register, not on the filter."""
    vm, situation, comparison = filter_vm(), _situation(registers, contract, level), Comparison()
    hold(vm, registers, situation)
    vm.set_filter(0xC5000020, 2, action)
    row = next(f for f in FUNCTIONS if f.name == "ARCH_FEATURES.PV_TIME_FEATURES")
    expected = row.expected(situation)
    assert isinstance(expected, tuple)
    for form in CONDUITS:
        comparison.x(f"{form.name} {row.name}", expected, guests.call(vm.vcpu, call_of(row, form)).x0_3)
    comparison.done()
