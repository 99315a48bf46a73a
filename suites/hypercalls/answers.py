# SPDX-License-Identifier: GPL-2.0-only
"""Compares a guest's answers with the contract: constants, limits, or known properties."""

from __future__ import annotations

from helpers.contract.check import Comparison
from helpers.contract.functions import U32, Function, Situation
from helpers.smccc import NOT_SUPPORTED, CallResult, show_registers
from suites.hypercalls.conftest import Observed
from suites.support.answer import compare_x
from suites.support.calls import Form, call_of


def entropy(c: Comparison, what: str, result: CallResult, width: int, bits: int) -> None:
    """Compares an answer of TRNG_RND: success, three words of ``width`` bits, and zeros above ``bits`` bits."""
    words = result.x[1:4]
    value = words[0] << 2 * width | words[1] << width | words[2]
    fits = result.x[0] == 0 and all(w >> width == 0 for w in words) and value >> bits == 0
    c.that(fits, what, f"x0=0x0 and at most {bits} bits in x1..x3", show_registers(result.x0_3))


def ptp(c: Comparison, what: str, result: CallResult, realtime: tuple[int, int], counter: tuple[int, int]) -> None:
    """Compares an answer of KVM_PTP: wall clock (ns) and counter (ticks), each between readings before and after it."""
    ns, ticks = result.x[0] << 32 | result.x[1], result.x[2] << 32 | result.x[3]
    c.that(all(x <= U32 for x in result.x0_3), what, "32 bits in each of x0..x3", show_registers(result.x0_3))
    first, last = realtime
    c.that(first <= ns <= last, f"{what}: wall clock", f"between the host's {first} and {last} ns", f"{ns} ns")
    low, high = counter
    c.that(low <= ticks <= high, f"{what}: counter", f"the guest's {low} to {high}", str(ticks))


def unserved(function: Function) -> tuple[int, ...]:
    """x0..x3 after an SMC that KVM does not serve: NOT_SUPPORTED, the others unchanged."""
    return NOT_SUPPORTED, *call_of(function).registers[1:4]


def compare_answers(c: Comparison, function: Function, form: Form, seen: Observed, first: Observed) -> None:
    """Compares x0..x3 of ``function`` in ``seen``. A constant answer must equal that in ``first``."""
    result, situation = seen.results[function.name], seen.situation
    what = _what(function, form, situation)
    if not form.served(seen.smc):
        c.x(what, unserved(function), result.x0_3)
        return
    expected = function.expected(situation, form.conduit)
    if not isinstance(expected, str):
        compare_x(c, what, expected, result.x0_3)
    elif expected.startswith("entropy"):
        _, width, bits = expected.split(":")
        entropy(c, what, result, int(width), int(bits))
    elif expected == "ptp":
        ptp(c, what, result, seen.realtime, result.cntpct if function.args[0] & 1 else result.cntvct)
    elif expected == "smccc-version":
        c.x(what, (seen.smccc_version, 0, 0, 0), result.x0_3)
    elif expected == "psci-version":
        c.x(what, (seen.psci_version, 0, 0, 0), result.x0_3)
    else:
        assert expected == "constant", expected
        c.x(what, first.results[function.name].x0_3, result.x0_3)


def _what(function: Function, form: Form, situation: Situation) -> str:
    held = ", ".join(f"{name}={value:#x}" for name, value in situation.values.items())
    return f"{form.name} {function.name} ({function.id:#x}) with {held}" + (
        ", PV time" if situation.pv_time_ipa else ""
    )
