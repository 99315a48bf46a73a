# SPDX-License-Identifier: GPL-2.0-only
"""Each function under every bitmap of its register: its answer, or NOT_SUPPORTED, by HVC and by SMC."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from helpers import guests
from helpers.contract.arguments import is_architecture
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS, GATED, Function
from helpers.contract.registers import REGISTER_NAMES, VENDOR_HYP, Register
from helpers.smccc import Call
from suites.hypercalls.answers import compare_answers
from suites.hypercalls.conftest import Observe, Situations
from suites.support.calls import CONDUITS, GARBAGE, HVC, REGISTER_LEVELS, SMC, At, Form, VmAt, call_of


@pytest.mark.clause("CALL-1", "CALL-2")
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(HVC, id="HVC"),
        pytest.param(SMC, id="SMC", marks=pytest.mark.clause("SMC-1", "SMC-2")),
    ],
)
@pytest.mark.parametrize("function", GATED, ids=lambda f: f.name)
def test_gated(function: Function, form: Form, situations: Situations, observe: Observe, contract: Probe) -> None:
    """Its answer if its bit is set, NOT_SUPPORTED if it is clear, whatever the other bits and registers hold."""
    gate = function.gated(contract.dialect)
    if gate is None:
        pytest.skip(f"not applicable, because {contract.dialect.name} does not gate {function.name}")
    comparison = Comparison()
    for situation in situations(gate[0]):
        seen = observe(situation, form)
        compare_answers(comparison, function, form, seen, seen)
    comparison.done()


def _not_owned() -> list[object]:
    """Each register with each function that it does not gate in every dialect (RFC v3 gates fewer than mainline)."""
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
    """A register that does not gate a function does not affect its answer, whatever its bitmap."""
    gate = function.gated(contract.dialect)
    if gate is not None and gate[0] == name:
        pytest.skip(f"not applicable, because {name} gates {function.name} in {contract.dialect.name}")
    if not any(r.name == name for r in contract.registers):
        pytest.skip(f"not applicable, because this kernel has no {name}")
    comparison = Comparison()
    wanted = situations(name)
    for situation, form in product(wanted, CONDUITS):
        compare_answers(comparison, function, form, observe(situation, form), observe(wanted[0], form))
    comparison.done()


@pytest.mark.clause("CALL-3")
def test_unknown_registers_do_not_gate(
    registers: tuple[Register, ...], situations: Situations, observe: Observe, contract: Probe
) -> None:
    """A register that the tables lack does not affect the answer of a known function, whatever its bitmap."""
    if not contract.unknown_registers:
        pytest.skip("not applicable, because KVM_GET_REG_LIST shows no bitmap register that the tables lack")
    comparison = Comparison()
    for register in contract.unknown_registers:
        for situation, form in product(situations(register.name), CONDUITS):
            first = observe(situations(register.name)[0], form)
            for function in (f for f in FUNCTIONS if f.id not in contract.new_functions):
                compare_answers(comparison, function, form, observe(situation, form), first)
    comparison.done()


@pytest.mark.clause("CALL-2")
def test_new_functions(registers: tuple[Register, ...], at: At, vm_at: VmAt, contract: Probe) -> None:
    """A function that an unknown bit enables is NOT_SUPPORTED without it, with every known bit set and with none."""
    ids = [i for i in contract.new_functions if not is_architecture(i)]
    if not ids:
        pytest.skip("not applicable, because no unknown service enables a function that the tables lack")
    comparison = Comparison()
    for level, form in product(REGISTER_LEVELS, CONDUITS):
        values = {r.name: r.mask & ~r.unknown if level == "full" else 0 for r in registers}
        vm = vm_at(replace(at(level, False), values=values))
        for number, result in zip(
            ids, guests.calls(vm.vcpu, [Call(i, GARBAGE, form.conduit) for i in ids]), strict=True
        ):
            expected = CLOSED if form.served(contract.smc) else (CLOSED[0], *GARBAGE[:3])
            comparison.x(f"{form.name} {number:#x} without the unknown bits, {level}", expected, result.x0_3)
    comparison.done()


@pytest.mark.clause("CALL-4")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.name)
def test_other_guest_registers_kept(function: Function, situations: Situations, observe: Observe) -> None:
    """A call preserves x4 to x17, with its bit set or clear."""
    comparison = Comparison()
    expected = (*call_of(function).registers[4:8], *range(0x108, 0x112))
    name = function.gate[0] if function.gate else VENDOR_HYP
    for situation, form in product(situations(name), CONDUITS):
        kept = observe(situation, form).results[function.name].x[4:18]
        comparison.that(kept == expected, f"x4..x17 after {form.name} {function.name}", str(expected), str(kept))
    comparison.done()
