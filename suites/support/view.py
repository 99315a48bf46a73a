# SPDX-License-Identifier: GPL-2.0-only
"""Compares a guest's view of the registers: the calls that they open and close."""

from __future__ import annotations

from collections.abc import Mapping

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import GATED, Situation
from helpers.kvm import Vcpu
from helpers.smccc import NOT_SUPPORTED
from suites.support.answer import compare_x
from suites.support.calls import call_of


def compare_view(comparison: Comparison, vcpu: Vcpu, contract: Probe, values: Mapping[str, int], when: str) -> None:
    """Makes each call in a guest on ``vcpu``, and compares its result with the one that ``values`` define.

    Of an answer that varies, such as a time, only NOT_SUPPORTED is wrong.
    """
    situation = Situation(contract.dialect, dict(values), contract.arch_counter, None)
    expected = [function.expected(situation) for function in GATED]
    for function, answer, result in zip(GATED, expected, guests.calls(vcpu, list(map(call_of, GATED))), strict=True):
        what = f"HVC {function.name} ({function.id:#x}) {when}"
        if isinstance(answer, str):
            comparison.that(result.x0_3[0] != NOT_SUPPORTED, what, "an answer", "NOT_SUPPORTED")
        else:
            compare_x(comparison, what, answer, result.x0_3)
