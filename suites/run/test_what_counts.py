# SPDX-License-Identifier: GPL-2.0-only
"""Which ways of leaving KVM_RUN lock the registers, and which leave them writable."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.guest_layout import MEMORY_IPA
from helpers.kvm import Vm
from helpers.kvm_program import PC
from suites.conftest import MakeVm
from suites.run import runs
from suites.run.conftest import MakeFor
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view

HELD = pytest.mark.parametrize("held", ["empty", "full"])
RAN = pytest.mark.parametrize("ran", [0, 1], ids=["vcpu0_ran", "vcpu1_ran"])
RUNS = [
    pytest.param(runs.WITH_ARGUMENT, marks=pytest.mark.clause("RUN-1")),
    pytest.param(runs.NOT_INITIALISED, marks=pytest.mark.clause("RUN-2")),
    pytest.param(runs.SVE_NOT_FINALISED, marks=pytest.mark.clause("RUN-2")),
    pytest.param(runs.PMU_NOT_INITIALISED, marks=pytest.mark.clause("RUN-3")),
    pytest.param(runs.IMMEDIATE_EXIT, marks=pytest.mark.clause("RUN-4")),
    pytest.param(runs.PENDING_SIGNAL, marks=pytest.mark.clause("RUN-4")),
    pytest.param(runs.MEMORY_GONE, marks=pytest.mark.clause("RUN-5")),
    pytest.param(runs.PLAIN_RUN, marks=pytest.mark.clause("RUN-6")),
]


def _compare(
    run: runs.RunCase, held: str, ran: int, registers: tuple[Register, ...], contract: Probe, vms: tuple[Vm, Vm]
) -> None:
    vm, other = vms
    values, comparison = fill(vm, registers, held), Comparison()
    theirs = fill(other, registers, held)
    when = f"after {run.name} on vCPU {ran}"
    comparison.error(f"KVM_RUN {run.name}", run.error, run.make(vm.vcpus[ran]))
    if run is not runs.PLAIN_RUN:
        comparison.value(f"the guest's pc {when}", MEMORY_IPA, vm.vcpus[ran].try_get_reg(PC)[0])
    fixes = run.fixes(contract.dialect)
    if fixes is None:
        first = registers[0]
        fixes = vm.vcpu.try_set_reg(first, first.mask ^ values[first.name]) != 0
        vm.vcpu.try_set_reg(first, values[first.name])
    if fixes:
        compare_fixed(comparison, vm.vcpus[:2], registers, values, when)
    else:
        compare_open(comparison, vm.vcpus[:2], registers, values, when)
    compare_open(comparison, other.vcpus, registers, theirs, f"of another VM {when}")
    comparison.done()


@RAN
@HELD
@pytest.mark.clause("RUN-6")
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_run(
    run: runs.RunCase,
    held: str,
    ran: int,
    registers: tuple[Register, ...],
    contract: Probe,
    make_for: MakeFor,
    make_vm: MakeVm,
) -> None:
    """KVM_RUN gives its errno. After it, every register of the VM is locked, or writable, through every vCPU."""
    _compare(run, held, ran, registers, contract, (make_for(run), make_vm(2)))


@pytest.mark.clause("RUN-4", "RUN-6")
def test_powered_off(registers: tuple[Register, ...], contract: Probe, make_for: MakeFor, make_vm: MakeVm) -> None:
    """KVM_RUN of a powered-off vCPU, which does not enter the guest, locks the registers."""
    _compare(runs.POWERED_OFF, "empty", 1, registers, contract, (make_for(runs.POWERED_OFF), make_vm(2)))


@HELD
@pytest.mark.parametrize(
    "run",
    [
        pytest.param(runs.WITH_ARGUMENT, marks=pytest.mark.clause("RUN-1")),
        pytest.param(runs.NOT_INITIALISED, marks=pytest.mark.clause("RUN-2")),
    ],
    ids=lambda run: run.name,
)
def test_guest_sees_what_was_written_after_it(
    run: runs.RunCase, held: str, registers: tuple[Register, ...], contract: Probe, make_for: MakeFor
) -> None:
    """The guest sees the values that are written after a failed KVM_RUN, and the next KVM_RUN locks them."""
    vm, comparison = make_for(run), Comparison()
    run.make(vm.vcpu)
    if run.fixes(contract.dialect) is None:
        pytest.skip(f"not applicable, because {contract.dialect.name} does not define whether {run.name} locks")
    values = fill(vm, registers, held)
    compare_view(comparison, vm.vcpu, contract, values, f"after {run.name} and {held} registers")
    compare_fixed(comparison, vm.vcpus[:2], registers, values, f"after {run.name} and a KVM_RUN that succeeded")
    comparison.done()
