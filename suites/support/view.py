# SPDX-License-Identifier: GPL-2.0-only
"""Compares a guest's view of the registers: the calls whose answers depend on their values alone."""

from __future__ import annotations

from collections.abc import Mapping

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import GATED, Situation
from helpers.kvm import Vcpu
from suites.support.answer import compare_x
from suites.support.calls import call_of


def compare_view(comparison: Comparison, vcpu: Vcpu, contract: Probe, values: Mapping[str, int], when: str) -> None:
    """Makes the calls in a guest on ``vcpu``, and compares with the answers for the registers' ``values``."""
    situation = Situation(contract.dialect, dict(values), contract.arch_counter, None)
    fixed = [(f, x) for f in GATED if not isinstance(x := f.expected(situation), str)]
    results = guests.calls(vcpu, [call_of(f) for f, _ in fixed])
    for (function, expected), result in zip(fixed, results, strict=True):
        compare_x(comparison, f"HVC {function.name} ({function.id:#x}) {when}", expected, result.x0_3)
