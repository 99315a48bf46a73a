# SPDX-License-Identifier: GPL-2.0-only
"""VMs that are created, used and closed, more than a hundred times."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from suites.left_behind.growth import Meter
from suites.left_behind.lives import Life

LIVES, RUNS = 150, 15
"""The number of VMs in all programs, and in one."""
_FEW_LIVES = 100


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


@pytest.mark.clause("LEFT-1", "LEFT-2")
def test_memory_of_closed_vms(kvm: Kvm, contract: Probe, registers: tuple[Register, ...], meter: Meter) -> None:
    """Neither memory nor fds nor tasks grow with the number of VMs that were created, used and closed."""
    comparison = Comparison()

    def lives(p: KvmProgram) -> None:
        Life(p, kvm, contract, registers, runs=False).close()

    def nothing(p: KvmProgram) -> None:
        p.ioctl(kvm.fd, uapi.KVM_CHECK_EXTENSION, uapi.KVM_CAP_STEAL_TIME)

    meter.compare(comparison, "creating, using and closing a VM", lives, nothing, few=_FEW_LIVES)
    comparison.done()


@pytest.mark.clause("LEFT-6")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_bytes_of_accepted_calls(when: str, kvm: Kvm, contract: Probe) -> None:
    """KVM_GET_DEVICE_ATTR writes eight bytes, and KVM_GET_REG_LIST n and n ids. Neither writes any other byte."""
    canary, comparison = bytes(range(0x60, 0x80)), Comparison()
    with kvm.create_vm() as vm:
        if when == "after_run":
            vm.vcpu.immediate_exit()
        ids = vm.vcpu.reg_list()
        batch = vm.batch()
        program = batch.program
        head = program.scratch_bytes(canary + struct.pack("<Q", len(ids) + 4) + bytes(8 * len(ids)) + canary)
        listing = batch.ioctl("KVM_GET_REG_LIST", vm.vcpu.fd, uapi.KVM_GET_REG_LIST, head + len(canary))
        listed = program.peek(head, 8 + 8 * len(ids) + 2 * len(canary))
        reads = []
        if contract.pv_time:
            group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
            data = struct.pack("<Q", PV_TIME_IPA)
            batch.device_attr("the address", vm.vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)
            memory = program.scratch_bytes(canary * 3)
            request = program.device_attr(group, attr, memory + len(canary))
            reads.append((batch.call("KVM_GET_DEVICE_ATTR", vm.vcpu.fd, uapi.KVM_GET_DEVICE_ATTR, request), memory))
        peeks = [program.peek(memory, 3 * len(canary)) for _, memory in reads]
        answer = batch.run()
        comparison.error("KVM_GET_REG_LIST", 0, listing.errno)
        expected = canary + struct.pack(f"<{len(ids) + 1}Q", len(ids), *ids) + canary
        comparison.that(answer[listed].data == expected, "memory of KVM_GET_REG_LIST", "n and the ids", "other bytes")
        for (done, _), peek in zip(reads, peeks, strict=True):
            wanted = canary + struct.pack("<Q", PV_TIME_IPA) + canary[8:] + canary
            comparison.error("KVM_GET_DEVICE_ATTR of the stolen-time address", 0, done.errno)
            comparison.that(
                answer[peek].data == wanted, "memory of that call", wanted.hex(" ", 8), answer[peek].data.hex(" ", 8)
            )
    comparison.done()
