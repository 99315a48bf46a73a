# SPDX-License-Identifier: GPL-2.0-only
"""A pending interrupt, which ends CPU_SUSPEND, in a VM without an in-kernel interrupt controller."""

from __future__ import annotations

import struct

import pytest

from helpers import guests
from helpers.contract.functions import SMCCC_VERSION
from helpers.kvm import Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from suites.support.mp_state import RUNNABLE, set_mp_state

_WAIT_MS = 500
"""Deadline for KVM_RUN of a suspended vCPU. With an interrupt pending it returns at once."""


def raise_interrupt(vm: Vm) -> None:
    """Raises the first vCPU's interrupt line (KVM_IRQ_LINE), and runs the vCPU. Raises KvmError.

    The test is not applicable if the interrupt is gone after the run. Some versions of pKVM copy the hypervisor's
    HCR_EL2, without VI, over the host's at each exit (hyp-main.c:sync_hyp_vcpu).
    """
    batch = vm.batch()
    level_1 = uapi.pack("kvm_irq_level", irq=uapi.KVM_ARM_IRQ_VCPU0_IRQ, level=1)
    line = batch.program.structure(level_1, "irq {}, level 1", uapi.KVM_ARM_IRQ_VCPU0_IRQ)
    raised = batch.call("KVM_IRQ_LINE", vm.fd, uapi.KVM_IRQ_LINE, line)
    batch.run()
    raised.ok()
    guests.call(vm.vcpu, Call(SMCCC_VERSION))
    # KVM_MP_STATE_SUSPENDED, which _wakes() sets, needs the capability.
    if vm.check_extension(uapi.KVM_CAP_ARM_SYSTEM_SUSPEND) and not _wakes(vm):
        pytest.skip("not applicable, because a run of the guest clears the interrupt of KVM_IRQ_LINE (no WAKEUP event)")


def _wakes(vm: Vm) -> bool:
    """Whether KVM_RUN of the vCPU in KVM_MP_STATE_SUSPENDED leaves with KVM_SYSTEM_EVENT_WAKEUP (api.rst 4.38).

    Raises AssertionError if it leaves with another system event.
    """
    batch = vm.batch()
    batch.program.deadline_ms = _WAIT_MS
    set_mp_state(batch, vm.vcpu, uapi.KVM_MP_STATE_SUSPENDED)
    run = batch.run_vcpu(vm.vcpu)
    batch.run()
    batch = vm.batch()
    record = batch.program.peek(vm.vcpu.run_address, uapi.offset("kvm_run_hypercall", "nr") + 4)
    set_mp_state(batch, vm.vcpu, RUNNABLE)
    data = batch.run()[record].data
    (reason,) = struct.unpack_from("<I", data, uapi.offset("kvm_run_hypercall", "exit_reason"))
    (event,) = struct.unpack_from("<I", data, uapi.offset("kvm_run_hypercall", "nr"))
    left = not run.errno and reason == uapi.KVM_EXIT_SYSTEM_EVENT
    wakeup = uapi.KVM_SYSTEM_EVENT_WAKEUP
    assert not left or event == wakeup, f"system event of a vCPU that wakes up: expected {wakeup}, actual {event}"
    return left
