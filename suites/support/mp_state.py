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
_BEHIND = 0x5A5A5A5A
States = tuple[tuple[int, Pending], ...]
"""Ids of vCPUs, and their KVM_GET_MP_STATE."""


def vcpu_states(batch: Batch, vcpus: Iterable[Vcpu]) -> States:
    """KVM_GET_MP_STATE of each (api.rst 4.38), into four bytes before others that hold a pattern."""
    states = []
    for vcpu in vcpus:
        state = batch.program.scratch_bytes(struct.pack("<2I", 0xA5A5A5A5, _BEHIND))
        done = batch.program.call(vcpu.fd, uapi.KVM_GET_MP_STATE, Structure(state, ""))
        states.append((vcpu.index, batch.pending("KVM_GET_MP_STATE", done, batch.program.peek(state, 8))))
    return tuple(states)


def mp_state(state: Pending) -> int | None:
    """The state that a KVM_GET_MP_STATE of vcpu_states() returned."""
    return None if state.value is None else state.value & 0xFFFF_FFFF


def compare_mp_states(comparison: Comparison, states: States, expected: dict[int, int], when: str) -> None:
    """Compares the states with ``expected``, which has a state for each vCPU's id."""
    for index, state in states:
        comparison.value(f"KVM_GET_MP_STATE of vCPU {index} {when}", expected[index], mp_state(state))
        behind = None if state.value is None else state.value >> 32
        comparison.value(f"the four bytes behind the state of vCPU {index} {when}", _BEHIND, behind)


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
