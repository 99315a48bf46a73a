# SPDX-License-Identifier: GPL-2.0-only
"""The registers that no call may change: x18 to x30, the stack pointers and the vector registers."""

from __future__ import annotations

from itertools import product

import pytest

from helpers import guests
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS
from helpers.contract.neighbours import PSCI_CALLS
from helpers.contract.registers import Register
from helpers.smccc import Call
from suites.conftest import MakeVm
from suites.support.calls import CONDUITS, GARBAGE, REGISTER_LEVELS, call_of
from suites.support.kept import compare_kept, fill_kept


@pytest.mark.clause("CALL-8")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_callee_saved(level: str, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """No call of the tables, served or not, changes these registers, by either conduit."""
    vm, comparison = make_vm(), Comparison()
    vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
    values = fill_kept(vm)
    calls = [call_of(function, form) for function, form in product(FUNCTIONS, CONDUITS)]
    pairs = product(PSCI_CALLS, CONDUITS)
    calls += [Call(row.id, (*row.args, *GARBAGE[len(row.args) :]), form.conduit) for row, form in pairs]
    guests.calls(vm.vcpu, [call for call in calls if call.function not in contract.new_functions])
    compare_kept(comparison, vm, values, f"after every call, registers {level}")
    comparison.done()
