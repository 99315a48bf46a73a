# SPDX-License-Identifier: GPL-2.0-only
"""The answers of functions that no range contains, while others are filtered."""

from __future__ import annotations

from itertools import product

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import Situation
from helpers.contract.registers import Register
from helpers.guest_layout import PV_TIME_IPA
from suites.conftest import MakeVm
from suites.filter.test_actions import DENY, FILTERED, FORWARD
from suites.support.answer import compare_x
from suites.support.calls import CONDUITS, call_of, hold
from suites.support.held import compare_fixed, compare_open

_FUNCTIONS = tuple({function.id: function for function in FILTERED}.values())
_HELD = {"full": (1 << 64) - 1, "lowest": 1}


@pytest.mark.clause("FILTER-13", "FEAT-1", "EVENT-1")
@pytest.mark.parametrize("held", _HELD)
@pytest.mark.parametrize("action", [DENY, FORWARD], ids=["DENY", "FWD_TO_USER"])
def test_beside_filtered_functions(
    action: int, held: str, registers: tuple[Register, ...], contract: Probe, filter_vm: MakeVm
) -> None:
    """A filter affects neither the answers of other functions nor the registers.

    Each pair of a filtered function and another one occurs.
    """
    values = {register.name: register.mask & _HELD[held] for register in registers}
    situation = Situation(contract.dialect, values, contract.arch_counter, PV_TIME_IPA if contract.pv_time else None)
    comparison = Comparison()
    # Two functions differ in a bit of their numbers. For each bit, one VM filters those with it, and one the others.
    for bit, filters in product(range((len(_FUNCTIONS) - 1).bit_length()), (0, 1)):
        vm = filter_vm()
        hold(vm, registers, situation)
        batch = vm.batch()
        filtered = [f for number, f in enumerate(_FUNCTIONS) if number >> bit & 1 == filters]
        done = [batch.set_filter(vm.fd, function.id, 1, action) for function in filtered]
        batch.run()
        for each in done:
            each.ok()
        names = ", ".join(function.name for function in filtered)
        compare_open(comparison, vm.vcpus, registers, values, f"with filtered {names}")
        asked = [(f, form) for f in _FUNCTIONS if f not in filtered for form in CONDUITS]
        results = guests.calls(vm.vcpu, [call_of(function, form) for function, form in asked])
        for (function, form), result in zip(asked, results, strict=True):
            what = f"{form.name} {function.name}, registers {held}, beside filtered {names}"
            expected = function.expected(situation, form.conduit)
            assert not isinstance(expected, str), f"{function.name} has no fixed answer"
            compare_x(comparison, what, expected, result.x0_3)
        compare_fixed(comparison, vm.vcpus, registers, values, f"after calls beside filtered {names}")
    comparison.done()
