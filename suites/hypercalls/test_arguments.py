# SPDX-License-Identifier: GPL-2.0-only
"""The feature queries with every kind of argument, and function ids without a service."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.arguments import ARGUMENTS, NEAR_MISSES, OWNERS, QUERIES, Query, unassigned
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, U32
from helpers.kvm import Vm
from helpers.smccc import Call, show_registers
from suites.support.calls import CONDUITS, GARBAGE, REGISTER_LEVELS, At, Form, VmAt

_CLAUSE = {
    "ARCH_FEATURES": pytest.mark.clause("ARCH-1"),
    "PV_TIME_FEATURES": pytest.mark.clause("PVTIME-2"),
    "TRNG_FEATURES": pytest.mark.clause("TRNG-2"),
    "KVM_PTP": pytest.mark.clause("PTP-2"),
}
_QUERIES = [pytest.param(query, id=query.name, marks=_CLAUSE[query.name]) for query in QUERIES]


@pytest.mark.parametrize("query", _QUERIES)
@pytest.mark.parametrize("pv_time", [False, True], ids=["no_pv_time", "pv_time"])
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_query(level: str, pv_time: bool, query: Query, at: At, vm_at: VmAt, contract: Probe) -> None:
    """Arguments: every function id, with and without upper half, similar ids, single bits, extremes."""
    situation = at(level, pv_time)
    asked = [(a, query.answers(situation, a)) for a in ARGUMENTS]
    asked = [(a, acceptable) for a, acceptable in asked if acceptable and a & U32 not in contract.new_functions]
    results = guests.calls(vm_at(situation).vcpu, [Call(query.id, (a, *GARBAGE[1:])) for a, _ in asked])
    comparison = Comparison()
    for (argument, acceptable), result in zip(asked, results, strict=True):
        what = f"{query.name}({argument:#x}), registers {level}"
        expected = " or ".join(show_registers(x) for x in acceptable)
        comparison.that(result.x0_3 in acceptable, what, expected, show_registers(result.x0_3))
    comparison.done()


def _all_closed(vm: Vm, ids: list[int], level: str) -> None:
    results = guests.calls(vm.vcpu, [Call(i, GARBAGE) for i in ids])
    comparison = Comparison()
    for function, result in zip(ids, results, strict=True):
        comparison.x(f"HVC {function:#x}, registers {level}", CLOSED, result.x0_3)
    comparison.done()


@pytest.mark.clause("CALL-7")
@pytest.mark.parametrize("width", [32, 64], ids=["SMC32", "SMC64"])
@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_unknown_functions(level: str, owner: str, width: int, at: At, vm_at: VmAt, contract: Probe) -> None:
    """Each owner's first function numbers and those from 0xff00 on give NOT_SUPPORTED, except for the services."""
    ids = [i for i in unassigned(owner, width) if i not in contract.new_functions]
    _all_closed(vm_at(at(level, False)), ids, level)


@pytest.mark.clause("CALL-7")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_near_misses(level: str, form: Form, at: At, vm_at: VmAt, contract: Probe) -> None:
    """A service's id with another width, call type, SVE hint, owner or number gives NOT_SUPPORTED."""
    misses = {name: i for name, i in NEAR_MISSES.items() if i not in contract.new_functions}
    results = guests.calls(vm_at(at(level, False)).vcpu, [Call(i, GARBAGE, form.conduit) for i in misses.values()])
    expected = CLOSED if form.served(contract.smc) else (CLOSED[0], *GARBAGE[:3])
    comparison = Comparison()
    for name, result in zip(misses, results, strict=True):
        comparison.x(f"{form.name} {name} ({NEAR_MISSES[name]:#x}), registers {level}", expected, result.x0_3)
    comparison.done()
