# SPDX-License-Identifier: GPL-2.0-only
"""KVM_GET_MP_STATE and KVM_SET_MP_STATE in a batch, and vCPUs that start powered off."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from helpers.batch import Batch, Pending
from helpers.contract.check import Comparison
from helpers.kvm import Vcpu
from helpers.kvm_program import Structure
from helpers.uapi import kvm as uapi

RUNNABLE, STOPPED = uapi.KVM_MP_STATE_RUNNABLE, uapi.KVM_MP_STATE_STOPPED
OFF = (uapi.KVM_ARM_VCPU_POWER_OFF, uapi.KVM_ARM_VCPU_PSCI_0_2)
"""The features of a vCPU that starts powered off (api.rst 4.82)."""
States = tuple[tuple[int, Pending], ...]
"""Ids of vCPUs, and their KVM_GET_MP_STATE."""


def vcpu_states(batch: Batch, vcpus: Iterable[Vcpu]) -> States:
    """KVM_GET_MP_STATE of each (api.rst 4.38)."""
    states = []
    for vcpu in vcpus:
        state = batch.program.scratch_bytes(struct.pack("<Q", 0xA5A5A5A5))
        done = batch.program.call(vcpu.fd, uapi.KVM_GET_MP_STATE, Structure(state, ""))
        states.append((vcpu.index, batch.pending("KVM_GET_MP_STATE", done, batch.program.peek(state, 8))))
    return tuple(states)


def compare_mp_states(comparison: Comparison, states: States, expected: dict[int, int], when: str) -> None:
    """Compares the states with ``expected``, which has a state for each vCPU's id."""
    for index, state in states:
        comparison.value(f"KVM_GET_MP_STATE of vCPU {index} {when}", expected[index], state.value)


def set_mp_state(batch: Batch, vcpu: Vcpu, state: int) -> Pending:
    """KVM_SET_MP_STATE (api.rst 4.39)."""
    argument = batch.program.structure(uapi.pack("kvm_mp_state", mp_state=state), "state {}", state)
    return batch.call(f"KVM_SET_MP_STATE {state}", vcpu.fd, uapi.KVM_SET_MP_STATE, argument)


def init_again(batch: Batch, vcpu: Vcpu, features: Iterable[int]) -> Pending:
    """KVM_ARM_VCPU_INIT, and sets the PC to the guest's entry."""
    _, init = batch.program.prepare_init(vcpu.vm.fd, features)
    done = batch.pending("KVM_ARM_VCPU_INIT", batch.program.init_vcpu(vcpu.fd, init))
    batch.program.set_entry(vcpu.fd)
    return done
