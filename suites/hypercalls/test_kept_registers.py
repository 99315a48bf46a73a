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
from helpers.kvm import Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.calls import CONDUITS, GARBAGE, REGISTER_LEVELS, call_of

# The guest uses x24 to x29 between the calls.
_UNUSED = (18, 19, 20, 21, 22, 23, 30)
_KEPT = (
    *(RegisterId(f"x{n}", uapi.core_x(n)) for n in _UNUSED),
    RegisterId("sp", uapi.KVM_REG_ARM_CORE_SP),
    RegisterId("sp_el1", uapi.KVM_REG_ARM_CORE_SP_EL1),
    *(RegisterId(f"v{n}", uapi.core_v(n)) for n in range(32)),
)


def _width(register: RegisterId) -> int:
    """The register's size in bytes."""
    return 16 if register.name.startswith("v") else 8


def _fill(vm: Vm) -> list[int]:
    """Sets each register to a different value, and returns the values. Raises KvmError."""
    batch, values, done = vm.batch(), [], []
    for n, register in enumerate(_KEPT, 1):
        data = bytes((n * 7 + i) & 0xFF for i in range(_width(register)))
        values.append(int.from_bytes(data, "little"))
        one_reg = batch.program.one_reg(register, data)
        done.append(batch.pending(one_reg, batch.program.set_reg(vm.vcpu.fd, one_reg)))
    batch.run()
    for each in done:
        each.ok()
    return values


@pytest.mark.clause("CALL-8")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_callee_saved(level: str, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """No call of the tables, served or not, changes these registers, by either conduit."""
    vm, comparison = make_vm(), Comparison()
    vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
    values = _fill(vm)
    calls = [call_of(function, form) for function, form in product(FUNCTIONS, CONDUITS)]
    pairs = product(PSCI_CALLS, CONDUITS)
    calls += [Call(row.id, (*row.args, *GARBAGE[len(row.args) :]), form.conduit) for row, form in pairs]
    guests.calls(vm.vcpu, [call for call in calls if call.function not in contract.new_functions])
    batch = vm.batch()
    reads = [batch.get_into(vm.vcpu, batch.program.one_reg(r, bytes(_width(r)))) for r in _KEPT]
    batch.run()
    for register, value, read in zip(_KEPT, values, reads, strict=True):
        comparison.value(f"{register.name} after every call, registers {level}", value, read.value)
    comparison.done()
