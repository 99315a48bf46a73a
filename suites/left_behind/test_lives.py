# SPDX-License-Identifier: GPL-2.0-only
"""VMs that are created, used and closed, more than a hundred times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import KvmProgram
from helpers.placement import bind
from helpers.uapi import kvm as uapi
from suites.conftest import Note
from suites.left_behind.addresses import address_purge
from suites.left_behind.growth import Meter
from suites.left_behind.lives import Life, disturbed_life, largest_id, optional_features

pytestmark = pytest.mark.long

LIVES, RUNS = 45, 15
"""The number of VMs in all programs, and in one."""
_FEW_LIVES, _FEW_EVENTFUL_LIVES, _FEW_PROCESSES = 70, 40, 20
_AT_ONCE = (6, 10, 14)
"""The numbers of VMs in the rounds of test_reused_addresses. Each round has room for addresses of other allocations."""


@pytest.mark.clause("HISTORY-2")
def test_reset_values(
    kvm: Kvm, contract: Probe, registers: tuple[Register, ...], renew_deadline: Callable[[], float]
) -> None:
    """Each VM begins like the first one, although VMs before it, some at the same address, were changed and locked."""
    comparison = Comparison()
    for runs in [True, *[False] * (LIVES // RUNS), True]:
        renew_deadline()
        program = KvmProgram(deadline_ms=60_000)
        with program.concurrently() as stage, stage.thread(repeat=RUNS):
            life = Life(program, kvm, contract, registers, runs=runs)
            life.close()
        life.compare(comparison, kvm.subject.run(program))
    comparison.done()


@pytest.mark.clause("HISTORY-2")
def test_reused_addresses(kvm: Kvm, contract: Probe, registers: tuple[Register, ...], note: Note) -> None:
    """A VM at the address of a closed one begins like any other VM. All VMs of a round exist at the same time.

    Before each round, vmalloc frees the addresses of the round before (addresses.py). It then allocates the lowest
    free address, or since Linux 6.9 the last one that was freed for this processor. So the VMs get the addresses of
    the round before, unless other processes allocate between the rounds. Without VHE, and in newer kernels, struct
    kvm is allocated with kmalloc, which uses a free address at once.
    """
    program, purge = KvmProgram(deadline_ms=60_000), address_purge(kvm)
    lives = []
    with program.concurrently() as stage:
        with stage.thread():
            bind(program, kvm.placement.cores[:1])
            helper = program.create_vm(kvm.fd, kvm.vm_type)
            for number, count in enumerate(_AT_ONCE, 1):
                purge.add(program, helper)
                names = [f"VM {vm} of {count} in round {number}" for vm in range(1, count + 1)]
                vms = [Life(program, kvm, contract, registers, runs=True, name=name) for name in names]
                for life in vms:
                    life.close()
                lives += vms
            program.close(helper)
        with stage.thread():
            # A single thread would be the executor's own, which has to keep its processors.
            program.clock(time.CLOCK_MONOTONIC)
    answer, comparison = kvm.subject.run(program), Comparison()
    if answer.expired:
        raise KvmError("creating and closing VMs did not end before the deadline")
    for life in lives:
        life.compare(comparison, answer, psci=lives[0].psci_version(answer))
    if refusal := purge.refusal(answer):
        note(f"addresses may not have been used again: KVM_SET_USER_MEMORY_REGION of a large slot gives {refusal}")
    comparison.done()


@pytest.mark.clause("LEFT-1", "LEFT-2")
@pytest.mark.parametrize("kind", ["never_run", "run", "events"])
def test_memory_of_closed_vms(
    kind: str, kvm: Kvm, contract: Probe, registers: tuple[Register, ...], meter: Meter
) -> None:
    """Neither memory nor fds nor tasks grow with the number of VMs that were created, used and closed."""
    comparison, features, other = Comparison(), optional_features(kvm), largest_id(kvm)

    def lives(p: KvmProgram) -> None:
        if kind == "events":
            disturbed_life(p, kvm, registers)
        else:
            Life(p, kvm, contract, registers, runs=kind == "run", features=features, other=other).close()

    def nothing(p: KvmProgram) -> None:
        p.ioctl(kvm.fd, uapi.KVM_CHECK_EXTENSION, uapi.KVM_CAP_STEAL_TIME)

    few = _FEW_EVENTFUL_LIVES if kind == "events" else _FEW_LIVES
    meter.compare(comparison, "creating, using and closing a VM", lives, nothing, few=few)
    comparison.done()


@pytest.mark.clause("LEFT-1", "LEFT-2")
def test_memory_after_exit(kvm: Kvm, registers: tuple[Register, ...], meter: Meter) -> None:
    """Neither memory nor tasks grow with the number of processes that end while they have a VM that has run."""
    comparison = Comparison()

    def run_and_end(p: KvmProgram) -> None:
        vm = p.create_guest_vm(kvm.fd, kvm.vm_type, kvm.image)
        vcpu = p.create_guest_vcpu(vm.fd, 0, kvm.run_size, PSCI_0_2)
        for register in registers:
            p.set_reg(vcpu.fd, p.one_reg(register, 0))
        p.run_with_immediate_exit(vcpu.fd, vcpu.run_address)

    def end(p: KvmProgram) -> None:
        p.ioctl(kvm.fd, uapi.KVM_CHECK_EXTENSION, uapi.KVM_CAP_STEAL_TIME)

    what = "a process that ends while it has a VM"
    replace(meter, in_children=True).compare(comparison, what, run_and_end, end, few=_FEW_PROCESSES)
    comparison.done()
