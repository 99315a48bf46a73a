# SPDX-License-Identifier: GPL-2.0-only
"""What of a service's answer is not fixed, but known all the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.functions import FUNCTIONS, KVM_PTP_ID, PV_TIME_ST_ID
from helpers.contract.probe import Probe
from helpers.contract.registers import PTP, PV_TIME, STD_HYP, VENDOR_HYP, VENDOR_HYP_2, Register
from helpers.executor.program import Program
from helpers.kvm import MEMORY_IPA, Vm
from helpers.smccc import NOT_SUPPORTED, Call, CallResult, show
from suites.calls import GARBAGE, At, set_pv_time
from suites.conftest import MakeVm
from suites.hypercalls.conftest import Observe

DRAWS = 64
"""A bit that is always zero by chance: 2^-64."""

LENGTHS = [
    pytest.param(width, bits, id=f"TRNG_RND{width}-{bits}")
    for width in (32, 64)
    for bits in (1, 31, 32, 33, 63, 64, 65, 95, 96, 127, 128, 129, 191, 192)
    if bits <= 3 * width
]
"""Bits in a word of the answer (32 or 64, three words) with the bits asked for."""


def _value(result: CallResult, width: int) -> int:
    return result.x[1] << 2 * width | result.x[2] << width | result.x[3]


@pytest.mark.clause("TRNG-1")
@pytest.mark.parametrize(("width", "bits"), LENGTHS)
def test_entropy(width: int, bits: int, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Every bit asked for comes up in some draw, none above ever, and draws differ."""
    one = Call(0x84000053 if width == 32 else 0xC4000053, (bits, *GARBAGE[1:]))
    drawn = guests.calls(make_vm().vcpu, [one] * DRAWS)
    union, comparison = 0, Comparison()
    for result in drawn:
        fits = result.x[0] == 0 and all(w >> width == 0 for w in result.x[1:4]) and not _value(result, width) >> bits
        comparison.that(fits, f"TRNG_RND{width}({bits})", f"x0=0x0 and at most {bits} bits", show(result.x0_3))
        union |= _value(result, width)
    comparison.value(f"the bits that came up in {DRAWS} draws of {bits}", (1 << bits) - 1, union)
    if bits > 31:
        distinct = len({_value(r, width) for r in drawn})
        comparison.that(
            distinct > DRAWS // 2, f"{DRAWS} draws of {bits} bits", "different values", f"{distinct} values"
        )
    comparison.done()


@pytest.mark.clause("PTP-1")
@pytest.mark.parametrize("counter", [0, 1], ids=["VIRTUAL", "PHYSICAL"])
def test_ptp_advances(counter: int, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """Time and counter never go back, and each counter value lies between the guest's own readings."""
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


def _fill(vm: Vm, value: bytes) -> None:
    program = Program()
    program.poke(vm.memory + guests.PV_TIME_IPA - MEMORY_IPA, value)
    vm.kvm.subject.run(program)


def _area(vm: Vm) -> bytes:
    program = Program()
    area = program.peek(vm.memory + guests.PV_TIME_IPA - MEMORY_IPA, 64)
    return vm.kvm.subject.run(program)[area].data


@pytest.mark.clause("PVTIME-1", "CALL-2")
@pytest.mark.parametrize("state", ["open", "closed"])
def test_stolen_time_area(state: str, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """PV_TIME_ST zeroes the area when open, and leaves it alone when closed."""
    if not contract.pv_time:
        pytest.skip("not applicable, because vCPUs of this kernel take no stolen-time area (KVM_HAS_DEVICE_ATTR)")
    hyp = next(r for r in registers if r.name == STD_HYP)
    vm = make_vm()
    vm.vcpu.set_reg(hyp, (hyp.bit(PV_TIME) or 0) if state == "open" else 0)
    set_pv_time(vm, guests.PV_TIME_IPA)
    _fill(vm, b"\xa5" * 64)
    result = guests.call(vm.vcpu, Call(PV_TIME_ST_ID, GARBAGE))
    area, comparison = _area(vm), Comparison()
    expected = (guests.PV_TIME_IPA, 0, 0, 0) if state == "open" else (NOT_SUPPORTED, 0, 0, 0)
    comparison.x(f"PV_TIME_ST, {state}", expected, result.x0_3)
    # Bytes 8..15 are the stolen time, which KVM updates whenever it loads the vCPU.
    kept, wanted = area[:8] + area[16:], (b"\0" if state == "open" else b"\xa5") * 56
    comparison.that(kept == wanted, "the area but for its stolen time", wanted.hex(), kept.hex())
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
