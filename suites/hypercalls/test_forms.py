# SPDX-License-Identifier: GPL-2.0-only
"""The calling instruction and x0: SMC #0 gives the answers of HVC; HVC's immediate and bits 63:32 are ignored."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS, GATED, UPPER, WORKAROUNDS
from helpers.smccc import Call, Conduit
from suites.hypercalls.answers import compare_answers
from suites.hypercalls.conftest import Observe, Observed
from suites.support.answer import compare_x
from suites.support.calls import GARBAGE, HVC, INSTRUCTIONS, REGISTER_LEVELS, SMC, At, Form, VmAt, call_of

UPPER_HALF = pytest.mark.clause("CALL-5")
FORMS = [
    pytest.param(Form("HVC upper half", Conduit.HVC, UPPER), marks=UPPER_HALF, id="HVC-upper_half"),
    pytest.param(Form("SMC upper half", Conduit.SMC, UPPER), marks=UPPER_HALF, id="SMC-upper_half"),
    pytest.param(Form("HVC #1", Conduit.HVC_1), marks=pytest.mark.clause("CALL-6"), id="HVC-imm_1"),
    pytest.param(Form("HVC #0xffff", Conduit.HVC_FFFF), marks=pytest.mark.clause("CALL-6"), id="HVC-imm_ffff"),
    pytest.param(Form("SMC #1", Conduit.SMC_1), marks=pytest.mark.clause("SMC-2"), id="SMC-imm_1"),
    pytest.param(Form("SMC #0xffff", Conduit.SMC_FFFF), marks=pytest.mark.clause("SMC-2"), id="SMC-imm_ffff"),
    pytest.param(Form("SMC #0x100", Conduit.SMC_100), marks=pytest.mark.clause("SMC-2"), id="SMC-imm_100"),
]


def _compare_all(form: Form, seen: Observed, plain: Observed, contract: Probe) -> None:
    comparison = Comparison()
    for function in (f for f in FUNCTIONS if f.id not in contract.new_functions):
        compare_answers(comparison, function, form, seen, plain)
    comparison.done()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pv_time", [False, True], ids=["no_pv_time", "pv_time"])
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_form(level: str, pv_time: bool, form: Form, at: At, observe: Observe, contract: Probe) -> None:
    """Every function answers as by HVC #0, or with NOT_SUPPORTED and unchanged x1..x3. All registers: full or empty."""
    situation = at(level, pv_time)
    _compare_all(form, observe(situation, form), observe(situation, HVC), contract)


@pytest.mark.clause("CALL-6", "SMC-2")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_every_bit_of_the_immediate(level: str, at: At, vm_at: VmAt, contract: Probe) -> None:
    """HVC with any immediate gives the answer of HVC #0 for a function of each register; SMC gives NOT_SUPPORTED."""
    situation, comparison = at(level, False), Comparison()
    answers = {f.gate: (f, x) for f in GATED if not isinstance(x := f.expected(situation), str)}
    vm, forms = vm_at(situation), [Form(c.name, c) for c in Conduit if c not in {HVC.conduit, SMC.conduit}]
    for function, expected in answers.values():
        calls = [call_of(function, form) for form in forms]
        for form, call, result in zip(forms, calls, guests.calls(vm.vcpu, calls), strict=True):
            _, x1, x2, x3 = call.registers[:4]
            wanted = expected if form.served(contract.smc) else (CLOSED[0], x1, x2, x3)
            compare_x(comparison, f"{form.name} {function.name}, registers {level}", wanted, result.x0_3)
    comparison.done()


@pytest.mark.clause("SMC-1", "SMC-2")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_smc_as_hvc(level: str, at: At, observe: Observe, contract: Probe) -> None:
    """If KVM serves SMC, SMC #0 gives the answers of HVC #0, also those that depend on the host."""
    situation = at(level, False)
    _compare_all(SMC, observe(situation, SMC), observe(situation, HVC), contract)


@pytest.mark.clause("WA-1")
@pytest.mark.parametrize("upper", [0, UPPER], ids=["plain", "upper_half"])
@pytest.mark.parametrize("conduit", INSTRUCTIONS, ids=lambda c: c.name)
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_workaround_calls(level: str, conduit: Conduit, upper: int, at: At, vm_at: VmAt, contract: Probe) -> None:
    """HVC: x0 = x1 = 0 from EL2's fast path, x2 and x3 unchanged. SMC: NOT_SUPPORTED."""
    refused = CLOSED if Form(conduit.name, conduit).served(contract.smc) else (CLOSED[0], *GARBAGE[:3])
    expected = (0, 0, *GARBAGE[1:3]) if conduit.name.startswith("HVC") else refused
    results = guests.calls(vm_at(at(level, False)).vcpu, [Call(upper | i, GARBAGE, conduit) for _, i in WORKAROUNDS])
    comparison = Comparison()
    for (name, _), result in zip(WORKAROUNDS, results, strict=True):
        comparison.x(f"{conduit.name} {name}, registers {level}", expected, result.x0_3)
    comparison.done()
