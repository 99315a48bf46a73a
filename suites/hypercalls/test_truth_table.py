# SPDX-License-Identifier: GPL-2.0-only
"""Each function under every bitmap of its register: exactly its open or its closed answer, on HVC."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from helpers.contract.check import Comparison
from helpers.contract.functions import FUNCTIONS, GATED, Function, Situation
from helpers.contract.probe import Probe
from helpers.contract.registers import REGISTER_NAMES
from helpers.smccc import CallResult, show
from suites.hypercalls.conftest import Observe, Observed, call_of

Situations = Callable[[str], list[Situation]]
U32 = (1 << 32) - 1


def _entropy(c: Comparison, what: str, result: CallResult, width: int, bits: int) -> None:
    words = result.x[1:4]
    value = words[0] << 2 * width | words[1] << width | words[2]
    fits = result.x[0] == 0 and all(w >> width == 0 for w in words) and value >> bits == 0
    c.that(fits, what, f"x0=0x0 and at most {bits} bits in x1..x3", show(result.x0_3))


def _ptp(c: Comparison, what: str, result: CallResult, seen: Observed, counter: tuple[int, int]) -> None:
    ns, ticks = result.x[0] << 32 | result.x[1], result.x[2] << 32 | result.x[3]
    c.that(all(x <= U32 for x in result.x0_3), what, "32 bits in each of x0..x3", show(result.x0_3))
    first, last = seen.realtime
    c.that(first <= ns <= last, f"{what}: wall clock", f"between the host's {first} and {last} ns", f"{ns} ns")
    c.that(
        counter[0] <= ticks <= counter[1], f"{what}: counter", f"the guest's {counter[0]} to {counter[1]}", str(ticks)
    )


def _compare(c: Comparison, function: Function, situation: Situation, seen: Observed, first: Observed) -> None:
    result = seen.results[function.name]
    expected = function.expected(situation)
    held = ", ".join(f"{name}={value:#x}" for name, value in situation.values.items())
    what = f"HVC {function.name} ({function.id:#x}) with {held}" + (", PV time" if situation.pv_time_ipa else "")
    if isinstance(expected, tuple):
        c.x(what, expected, result.x0_3)
    elif expected.startswith("entropy"):
        _, width, bits = expected.split(":")
        _entropy(c, what, result, int(width), int(bits))
    elif expected == "ptp":
        _ptp(c, what, result, seen, result.cntvct if function.args == (0,) else result.cntpct)
    elif expected == "psci-version":
        c.x(what, (seen.psci_version, 0, 0, 0), result.x0_3)
    else:
        assert expected == "constant", expected
        c.x(what, first.results[function.name].x0_3, result.x0_3)


@pytest.mark.clause("CALL-1", "CALL-2")
@pytest.mark.parametrize("function", GATED, ids=lambda f: f.name)
def test_gated(function: Function, situations: Situations, observe: Observe, contract: Probe) -> None:
    """Open with its bit set, closed with it clear, whatever the other bits and registers hold."""
    gate = function.gated(contract.dialect)
    if gate is None:
        pytest.skip(f"not applicable, because {contract.dialect.name} does not gate {function.name}")
    comparison = Comparison()
    for situation in situations(gate[0]):
        seen = observe(situation)
        _compare(comparison, function, situation, seen, seen)
    comparison.done()


def _not_owned() -> list[object]:
    """Each register with each function that it does not own in every dialect (RFC v3 owns fewer than mainline)."""
    pairs = product(REGISTER_NAMES, FUNCTIONS)
    return [
        pytest.param(name, f, id=f"{name}-{f.name}")
        for name, f in pairs
        if f.gate is None or f.gate[0] != name or not f.rfc_gate
    ]


@pytest.mark.clause("CALL-3")
@pytest.mark.parametrize(("name", "function"), _not_owned())
def test_other_registers_do_not_gate(
    name: str, function: Function, situations: Situations, observe: Observe, contract: Probe
) -> None:
    """No bitmap of a register that does not own the call changes its answer."""
    gate = function.gated(contract.dialect)
    if gate is not None and gate[0] == name:
        pytest.skip(f"not applicable, because {name} gates {function.name} in {contract.dialect.name}")
    if not any(r.name == name for r in contract.registers):
        pytest.skip(f"not applicable, because this kernel has no {name}")
    comparison = Comparison()
    wanted = situations(name)
    for situation in wanted:
        _compare(comparison, function, situation, observe(situation), observe(wanted[0]))
    comparison.done()


@pytest.mark.clause("CALL-4")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_other_guest_registers_kept(function: Function, situations: Situations, observe: Observe) -> None:
    """x4..x17 are the guest's, open or closed."""
    comparison = Comparison()
    expected = (*call_of(function).registers[4:8], *range(0x108, 0x112))
    for situation in situations(function.gate[0] if function.gate else REGISTER_NAMES[0]):
        kept = observe(situation).results[function.name].x[4:18]
        comparison.that(kept == expected, f"x4..x17 after {function.name}", str(expected), str(kept))
    comparison.done()


@pytest.mark.clause("FEAT-1")
def test_features_follow_bitmaps(situations: Situations, observe: Observe) -> None:
    """KVM_FEATURES is a function of the vendor registers alone."""
    features = next(f for f in GATED if f.name == "KVM_FEATURES")
    comparison = Comparison()
    for name in REGISTER_NAMES:
        for situation in situations(name):
            expected = features.expected(situation)
            assert isinstance(expected, tuple)
            actual = observe(situation).results[features.name].x0_3
            comparison.x(f"KVM_FEATURES with {situation.values}", expected, actual)
    comparison.done()
