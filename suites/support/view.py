# SPDX-License-Identifier: GPL-2.0-only
"""What a guest sees of the registers: the calls whose answers follow from their values alone."""

from __future__ import annotations

from collections.abc import Mapping

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import GATED, Situation
from helpers.kvm import Vcpu
from suites.support.calls import call_of


def compare_view(comparison: Comparison, vcpu: Vcpu, contract: Probe, values: Mapping[str, int], when: str) -> None:
    """Runs a guest on ``vcpu`` that makes the calls, and compares with what the registers' ``values`` promise."""
    situation = Situation(contract.dialect, dict(values), contract.arch_counter, None)
    known = [(f, x) for f in GATED if isinstance(x := f.expected(situation), tuple)]
    results = guests.calls(vcpu, [call_of(f) for f, _ in known])
    for (function, expected), result in zip(known, results, strict=True):
        comparison.x(f"HVC {function.name} ({function.id:#x}) {when}", expected, result.x0_3)
