# SPDX-License-Identifier: GPL-2.0-only
"""Answers that are not constant, but have known properties: entropy, clocks, bitmaps."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise, product

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS, KVM_PTP_ID, U32
from helpers.contract.registers import PTP, VENDOR_HYP, VENDOR_HYP_2, Register
from helpers.smccc import U64, Call, CallResult, show_registers
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from helpers.uapi.system_registers import sys_reg_id
from suites.conftest import MakeVm
from suites.hypercalls.conftest import Observe
from suites.hypercalls.counters import COUNTER_OFFSET, counter_readings, may_ignore_cntpoff
from suites.support.calls import GARBAGE, At

TIMER_CNT = RegisterId("KVM_REG_ARM_TIMER_CNT", sys_reg_id(3, 3, 14, 3, 2))
PTIMER_CNT = RegisterId("KVM_REG_ARM_PTIMER_CNT", sys_reg_id(3, 3, 14, 0, 1))
STARTS = (0, 0x9000_0000, COUNTER_OFFSET + 0x9000_0000)
"""Of a counter: with and without bits in its upper word, and with the highest bit of its lower word."""
DRAWS = 64
"""The chance that a random bit has the same value in all draws is 2^-63."""

LENGTHS = [
    pytest.param(width, bits, id=f"TRNG_RND{width}-{bits}")
    for width in (32, 64)
    for bits in (1, 31, 32, 33, 63, 64, 65, 95, 96, 127, 128, 129, 191, 192)
    if bits <= 3 * width
]
"""Bits in each of the answer's three words (32 or 64), with the numbers of bits to request."""


def _value(result: CallResult, width: int) -> int:
    return result.x[1] << 2 * width | result.x[2] << width | result.x[3]


@pytest.mark.clause("TRNG-1")
@pytest.mark.parametrize(("width", "bits"), LENGTHS)
def test_entropy(width: int, bits: int, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Each requested bit is set in some draws only, none above is ever set, and the words differ."""
    one = Call(0x84000053 if width == 32 else 0xC4000053, (bits, *GARBAGE[1:]))
    drawn = guests.calls(make_vm().vcpu, [one] * DRAWS)
    union, common, comparison = 0, (1 << bits) - 1, Comparison()
    for result in drawn:
        fits = result.x[0] == 0 and all(w >> width == 0 for w in result.x[1:4]) and not _value(result, width) >> bits
        comparison.that(
            fits, f"TRNG_RND{width}({bits})", f"x0=0x0 and at most {bits} bits", show_registers(result.x0_3)
        )
        union |= _value(result, width)
        common &= _value(result, width)
    comparison.value(f"the bits that were set in any of {DRAWS} draws of {bits} bits", (1 << bits) - 1, union)
    comparison.value(f"the bits that were set in each of {DRAWS} draws of {bits} bits", 0, common)
    if bits > 31:
        # The words that are full, x3 first. A word of 31 or 32 bits may occur twice.
        words = [r.x[3 - i] for r in drawn for i in range(max(bits // width, 1))]
        what = f"{len(words)} words of {DRAWS} draws of {bits} bits"
        comparison.that(len(set(words)) > 3 * len(words) // 4, what, "different words", f"{len(set(words))} values")
    comparison.done()


@pytest.mark.clause("TRNG-1")
def test_entropy_after_refused(registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Around calls that are refused because they request too many bits, no two calls return the same 64 bits."""
    calls = []
    for function, width in ((0x84000053, 32), (0xC4000053, 64)):
        for refused in (3 * width + 1, 0xFFFF_FFFF):
            calls += [Call(function, (bits, *GARBAGE[1:])) for bits in (64, refused, refused, 64, 64)]
    drawn = [
        (result.x[2] << 32 | result.x[3]) if call.function == 0x84000053 else result.x[3]
        for call, result in zip(calls, guests.calls(make_vm().vcpu, calls), strict=True)
        if call.args[0] == 64
    ]
    comparison, shown = Comparison(), " ".join(f"{each:#x}" for each in drawn)
    comparison.that(len(set(drawn)) == len(drawn), "64 bits before and after refused calls", "different values", shown)
    comparison.done()


@pytest.mark.clause("TRNG-1")
def test_entropy_of_others(registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Calls of two vCPUs in each of two VMs, in turn, all return different bits."""
    vcpus = [vcpu for pair in zip(*(make_vm(2).vcpus for _ in range(2)), strict=True) for vcpu in pair]
    drawn = [guests.call(vcpu, Call(0xC4000053, (192, *GARBAGE[1:]))) for vcpu in vcpus * 2]
    words = [word for result in drawn for word in result.x[1:4]]
    comparison, shown = Comparison(), " ".join(f"{each:#x}" for each in words)
    comparison.that(len(set(words)) == len(words), "8 draws by 4 vCPUs of 2 VMs", "different words", shown)
    comparison.done()


@pytest.mark.clause("PTP-1")
@pytest.mark.parametrize("counter", [0, 1], ids=["VIRTUAL", "PHYSICAL"])
def test_ptp_advances(counter: int, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """Time and counter never decrease, and each counter value is between the guest's own readings."""
    if not contract.arch_counter:
        pytest.skip("not applicable, because the host's clock source is not the architected counter")
    vm = make_vm()
    vendor = next(r for r in registers if r.name == VENDOR_HYP)
    vm.vcpu.set_reg(vendor, vendor.bit(PTP) or 0)
    timed = guests.timed_calls(vm.vcpu, [Call(KVM_PTP_ID, (counter, *GARBAGE[1:]))] * 16)
    comparison = Comparison()
    ns = [r.x[0] << 32 | r.x[1] for r in timed.results]
    ticks = [r.x[2] << 32 | r.x[3] for r in timed.results]
    comparison.that(ns == sorted(ns) and ticks == sorted(ticks), "16 calls", "no step back", f"{ns} {ticks}")
    pairs = pairwise(zip(ns, ticks, strict=True))
    frozen = [tick for (time, tick), (later, newer) in pairs if later == time and newer != tick]
    comparison.that(not frozen, "the wall clock while the counter advances", "a later time", f"the same after {frozen}")
    first, last = timed.realtime
    for time, tick, result in zip(ns, ticks, timed.results, strict=True):
        low, high = result.cntvct if counter == 0 else result.cntpct
        comparison.that(
            low <= tick <= high, "the counter", f"{low} to {high}, which the guest read around it", f"{tick}"
        )
        comparison.that(
            first <= time <= last, "the wall clock", f"{first} to {last} ns, the host's around it", f"{time}"
        )
    comparison.done()


@pytest.mark.clause("PTP-3")
@pytest.mark.parametrize("counter", [0, 1], ids=["VIRTUAL", "PHYSICAL"])
@pytest.mark.parametrize("offset", [COUNTER_OFFSET, (1 << 64) - COUNTER_OFFSET], ids=["back", "ahead"])
def test_ptp_follows_offset(
    offset: int, counter: int, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe
) -> None:
    """With KVM_ARM_SET_COUNTER_OFFSET both counters are still those that the guest reads."""
    vm = make_vm()
    if not contract.arch_counter:
        pytest.skip("not applicable, because the host's clock source is not the architected counter")
    if not vm.check_extension(uapi.KVM_CAP_COUNTER_OFFSET):
        pytest.skip("not applicable, because KVM_CAP_COUNTER_OFFSET is 0")
    batch = vm.batch()
    argument = batch.program.structure(struct.pack("<2Q", offset, 0), "{:#x}", offset)
    batch.call("KVM_ARM_SET_COUNTER_OFFSET", vm.fd, uapi.KVM_ARM_SET_COUNTER_OFFSET, argument)
    before = batch.get(vm.vcpu, TIMER_CNT)
    # Ignored from now on (api.rst 4.139).
    for register in (TIMER_CNT, PTIMER_CNT):
        batch.set(vm.vcpu, register, 1 << 44)
    after = batch.get(vm.vcpu, TIMER_CNT)
    batch.run()
    moved = ((after.ok().value or 0) - (before.ok().value or 0)) & U64
    comparison = Comparison()
    comparison.that(moved < COUNTER_OFFSET, "the counter after a write that is ignored", "no jump", f"{moved} ticks")
    ignores_cntpoff = may_ignore_cntpoff(vm)
    for result in guests.calls(vm.vcpu, [Call(KVM_PTP_ID, (counter, *GARBAGE[1:]))] * 4):
        low, high = counter_readings(result, counter, offset, ignores_cntpoff=ignores_cntpoff)
        ticks = result.x[2] << 32 | result.x[3]
        what = f"counter {counter} with an offset of {offset:#x}"
        # Without an offset the upper word is 0 for the first minute after boot, so that a lost word would not show.
        comparison.that(
            all(x <= U32 for x in result.x0_3), what, "32 bits in each of x0..x3", show_registers(result.x0_3)
        )
        comparison.that(low <= ticks <= high, what, f"{low} to {high}, which the guest read around it", f"{ticks}")
    comparison.done()


@pytest.mark.clause("PTP-1")
@pytest.mark.parametrize("start", STARTS, ids=hex)
def test_ptp_follows_register(start: int, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """After a write of KVM_REG_ARM_TIMER_CNT or PTIMER_CNT, the counter is still the one that the guest reads.

    Each of the VM's vCPUs writes it, the last one first, and each one's guest reads it.
    """
    if not contract.arch_counter:
        pytest.skip("not applicable, because the host's clock source is not the architected counter")
    vm, comparison = make_vm(2), Comparison()
    counters = ((0, TIMER_CNT), (1, PTIMER_CNT))
    for writer, (counter, register) in product(reversed(vm.vcpus), counters[: 1 if may_ignore_cntpoff(vm) else 2]):
        batch = vm.batch()
        # Kernels before KVM_CAP_COUNTER_OFFSET refuse writes of PTIMER_CNT.
        written = batch.set(writer, register, start)
        batch.run()
        for vcpu in vm.vcpus:
            what = f"counter {counter} of vCPU {vcpu.index} after vCPU {writer.index} wrote {start:#x} to it"
            result = guests.call(vcpu, Call(KVM_PTP_ID, (counter, *GARBAGE[1:])))
            (low, high), ticks = (result.cntvct, result.cntpct)[counter], result.x[2] << 32 | result.x[3]
            comparison.that(low <= ticks <= high, what, f"{low} to {high}, which the guest read around it", f"{ticks}")
            moved = bool(written.errno) or start <= low < start + COUNTER_OFFSET
            comparison.that(moved, f"the guest's reading of {what}", f"at least {start}", f"{low}")
    comparison.done()


@pytest.mark.clause("FEAT-1")
def test_features_follow_bitmaps(registers: tuple[Register, ...], at: At, observe: Observe) -> None:
    """KVM_FEATURES under every pair of the vendor's two bitmaps."""
    features = next(f for f in FUNCTIONS if f.name == "KVM_FEATURES")
    vendor = [r for r in registers if r.name in (VENDOR_HYP, VENDOR_HYP_2)]
    comparison = Comparison()
    for bitmaps in product(*(r.subsets() for r in vendor)):
        full = at("full", False)
        values = full.values | dict(zip((r.name for r in vendor), bitmaps, strict=True))
        situation = replace(full, values=values)
        expected = features.expected(situation)
        assert isinstance(expected, tuple)
        comparison.x(f"KVM_FEATURES with {values}", expected, observe(situation).results[features.name].x0_3)
    comparison.done()
