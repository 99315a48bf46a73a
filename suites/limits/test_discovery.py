# SPDX-License-Identifier: GPL-2.0-only
"""The registers as discovery measured them, compared with the tables (helpers/contract/newer.py)."""

from __future__ import annotations

import pytest

from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from suites.conftest import MakeVm

CLAUSES = [
    pytest.param("DEFAULT-1", marks=pytest.mark.clause("DEFAULT-1")),
    pytest.param("LIMIT-1", marks=pytest.mark.clause("LIMIT-1")),
    pytest.param("LIMIT-2", marks=pytest.mark.clause("LIMIT-2")),
]


@pytest.mark.parametrize("clause", CLAUSES)
def test_agrees_with_the_tables(clause: str, registers: tuple[Register, ...], contract: Probe) -> None:
    """No reset value and no accepted bit contradicts the tables."""
    texts = [each.text for each in contract.contradictions if each.clause == clause]
    assert not texts, "\n".join(texts)


@pytest.mark.clause("LIMIT-2", "LOCK-2", "DEFAULT-3")
def test_unknown_registers_without_bits(registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """A register without bits reads 0 and accepts 0 through each vCPU, before and after KVM_RUN."""
    empty = [register for register in contract.unknown_registers if not register.mask]
    if not empty:
        pytest.skip("not applicable, because the tables have every bitmap register without bits of this kernel")
    vm, comparison = make_vm(2), Comparison()
    for when in ("before", "after"):
        for register in empty:
            for vcpu in vm.vcpus:
                what = f"{register.name} through vCPU {vcpu.index} {when} a run"
                comparison.error(f"writing 0 to {what}", 0, vcpu.try_set_reg(register, 0))
                comparison.error(f"writing bit 63 to {what}", EINVAL, vcpu.try_set_reg(register, register.beyond))
                comparison.value(what, 0, vcpu.try_get_reg(register)[0])
        vm.vcpu.immediate_exit()
    comparison.done()
