# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU that runs after its first KVM_RUN failed."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.kvm import Vcpu
from helpers.uapi import kvm as uapi
from suites.run import runs
from suites.run.conftest import MakeFor
from suites.support.features import finalise_sve, init_pmu
from suites.support.held import compare_fixed, fill
from suites.support.view import compare_view


def _finalise_sve(vcpu: Vcpu) -> int:
    batch = vcpu.vm.batch()
    done = finalise_sve(batch.program, vcpu.fd)
    return batch.run()[done].errno


def _init_pmu(vcpu: Vcpu) -> int:
    batch = vcpu.vm.batch()
    done = init_pmu(batch.program, vcpu.fd)
    return batch.run()[done].errno


@pytest.mark.parametrize(
    ("run", "mend"),
    [
        pytest.param(runs.SVE_NOT_FINALISED, _finalise_sve, marks=pytest.mark.clause("RUN-2"), id="sve"),
        pytest.param(runs.PMU_NOT_INITIALISED, _init_pmu, marks=pytest.mark.clause("RUN-3"), id="pmu"),
    ],
)
def test_mended(
    run: runs.RunCase, mend: Callable[[Vcpu], int], registers: tuple[Register, ...], contract: Probe, make_for: MakeFor
) -> None:
    """KVM_RUN fails twice and then succeeds. The guest sees the values written before that, and they are locked."""
    vm, comparison = make_for(run), Comparison()
    for _ in range(2):
        comparison.error(f"KVM_RUN {run.name}", run.error, run.make(vm.vcpu))
    if run.fixes(contract.dialect) is None:
        pytest.skip(f"not applicable, because {contract.dialect.name} does not define whether {run.name} locks")
    values = fill(vm, registers, "empty")
    comparison.error(f"the call that lets KVM_RUN succeed after {run.name}", 0, mend(vm.vcpu))
    compare_view(comparison, vm.vcpu, contract, values, f"after {run.name}, once KVM_RUN succeeds")
    compare_fixed(comparison, vm.vcpus, registers, values, f"after {run.name} and a KVM_RUN that succeeded")
    comparison.done()


def _nothing(vcpu: Vcpu) -> int:
    return 0


@pytest.mark.parametrize(
    ("run", "prepare"),
    [
        pytest.param(runs.WITH_ARGUMENT, _nothing, marks=pytest.mark.clause("RUN-1"), id="argument_1"),
        pytest.param(runs.NOT_INITIALISED, _nothing, marks=pytest.mark.clause("RUN-2"), id="not_initialised"),
        pytest.param(runs.SVE_NOT_FINALISED, _finalise_sve, marks=pytest.mark.clause("RUN-2"), id="sve_not_finalised"),
        pytest.param(runs.PMU_NOT_INITIALISED, _init_pmu, marks=pytest.mark.clause("RUN-3"), id="pmu_not_initialised"),
    ],
)
@pytest.mark.clause("LOCK-1", "EVENT-1", "EVENT-2")
def test_failure_after_a_run(
    run: runs.RunCase, prepare: Callable[[Vcpu], int], registers: tuple[Register, ...], make_for: MakeFor
) -> None:
    """A KVM_RUN that fails after another vCPU has run changes neither the registers nor their lock."""
    vm, comparison = make_for(run), Comparison()
    comparison.error("the call that lets KVM_RUN of vCPU 0 succeed", 0, prepare(vm.vcpu))
    values = fill(vm, registers, "full")
    comparison.error("KVM_RUN of vCPU 0 with immediate_exit", errno.EINTR, vm.vcpu.immediate_exit())
    comparison.error(f"KVM_RUN {run.name}", run.error, run.make(vm.vcpus[1]))
    compare_fixed(comparison, vm.vcpus[:2], registers, values, f"after a run, and {run.name}")
    comparison.done()


@pytest.mark.clause("LIST-5")
def test_reg_list_of_unfinalised(make_for: MakeFor) -> None:
    """KVM_GET_REG_LIST gives EPERM for any n, also if n cannot be read, until the vCPU is finalised."""
    vm, comparison = make_for(runs.SVE_NOT_FINALISED), Comparison()
    batch = vm.batch()
    listings = [batch.program.reg_list(vm.vcpu.fd, n) for n in (0, 4096)]
    made = [batch.pending("KVM_GET_REG_LIST", each.done) for each in listings]
    made.append(batch.ioctl("KVM_GET_REG_LIST", vm.vcpu.fd, uapi.KVM_GET_REG_LIST, 0))
    answer = batch.run()
    for what, done in zip(("no room", "room", "n at NULL"), made, strict=True):
        comparison.error(f"KVM_GET_REG_LIST with {what}, SVE not finalised", errno.EPERM, done.errno)
    for listing in listings:
        comparison.value("n after it", listing.n, listing.listed(answer)[0])
    comparison.error("KVM_ARM_VCPU_FINALIZE", 0, _finalise_sve(vm.vcpu))
    comparison.that(bool(vm.vcpu.reg_list()), "KVM_GET_REG_LIST, SVE finalised", "registers", "none")
    comparison.done()
