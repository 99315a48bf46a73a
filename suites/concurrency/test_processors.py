# SPDX-License-Identifier: GPL-2.0-only
"""A VM that is used on one processor after another, in a thread that is bound to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.errors import NotMeasured
from helpers.kvm import Kvm
from helpers.placement import bind_now
from helpers.uapi.notation import error_name
from suites.conftest import MakeVm
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view


@contextmanager
def _bound(kvm: Kvm, core: int) -> Iterator[None]:
    """The executor runs on this core in the block, and on all cores of vCPUs after it. Raises NotMeasured."""
    if error := bind_now(kvm.subject, (core,)):
        raise NotMeasured(f"the executor cannot be bound to processor {core} ({error_name(error)})")
    try:
        yield
    finally:
        if kvm.alive:
            bind_now(kvm.subject, kvm.placement.cores)


@pytest.mark.clause("LIMIT-1", "LOCK-1", "LOCK-6", "CALL-1", "CALL-2")
@pytest.mark.parametrize("held", ["empty", "full"])
def test_each_processor(held: str, registers: tuple[Register, ...], kvm: Kvm, contract: Probe, make_vm: MakeVm) -> None:
    """Values, accepted writes, lock and answers are those of any VM: of a new one, and of one locked elsewhere."""
    if not kvm.placement.cores:
        raise NotMeasured("sched_getaffinity lists no processor")
    locked, comparison = make_vm(2), Comparison()
    values = fill(locked, registers, held)
    for core in kvm.placement.cores:
        with _bound(kvm, core):
            vm, when = make_vm(), f"on processor {core}"
            compare_open(comparison, vm.vcpus, registers, {r.name: r.reset for r in registers}, f"of a new VM {when}")
            fill(vm, registers, held)
            compare_view(comparison, vm.vcpu, contract, values, f"in a VM that was created {when}")
            compare_fixed(comparison, vm.vcpus, registers, values, f"of a VM that was locked {when}")
            # KVM loads a vCPU on a processor for KVM_RUN only, not for accesses to its registers.
            for vcpu in reversed(locked.vcpus):
                compare_view(comparison, vcpu, contract, values, f"on vCPU {vcpu.index} of an older VM {when}")
            compare_fixed(comparison, locked.vcpus, registers, values, f"of an older VM {when}")
    comparison.done()
