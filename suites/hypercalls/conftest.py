# SPDX-License-Identifier: GPL-2.0-only
"""Every call in a given situation, made once in one guest and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.functions import FUNCTIONS, Function, Situation
from helpers.contract.probe import Probe
from helpers.contract.registers import Register
from helpers.kvm import Kvm, KvmError, RegisterId, Vm
from helpers.smccc import Call, CallResult
from helpers.uapi import kvm as uapi

GARBAGE = (0x1111_1111_DEAD_0001, 0x2222_2222_DEAD_0002, 0x3333_3333_DEAD_0003, 0x4444_4444_DEAD_0004,
           0x5555_5555_DEAD_0005, 0x6666_6666_DEAD_0006, 0x7777_7777_DEAD_0007)  # fmt: skip
"""Fills the argument registers that a call does not read, so that an answer that leaves one as it was shows."""


@dataclass(frozen=True)
class Observed:
    """What the guest saw of every function, and what the host read beside it."""

    results: dict[str, CallResult]
    realtime: tuple[int, int]
    psci_version: int


_PSCI_VERSION = RegisterId("PSCI_VERSION", uapi.fw_reg(0))


def call_of(function: Function) -> Call:
    """The call, with garbage where it takes no argument."""
    return Call(function.id, (*function.args, *GARBAGE[len(function.args) :]))


def set_pv_time(vm: Vm, ipa: int) -> None:
    """Gives the first vCPU a stolen-time area. Raises KvmError."""
    error = vm.vcpu.try_set_attr(uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA, ipa)
    if error:
        raise KvmError(f"KVM_ARM_VCPU_PVTIME_IPA = {ipa:#x} failed with errno {error}")


Observe = Callable[[Situation], Observed]


@pytest.fixture(scope="session")
def seen(contract: Probe) -> dict[tuple[object, ...], Observed]:
    """What was observed so far of this subject."""
    return {}


@pytest.fixture
def observe(kvm: Kvm, contract: Probe, seen: dict[tuple[object, ...], Observed]) -> Observe:
    """Makes all calls in a situation; asked again, it answers from the first time."""

    def observed(situation: Situation) -> Observed:
        key = (*sorted(situation.values.items()), situation.pv_time_ipa)
        if key not in seen:
            seen[key] = _observe(kvm, contract.registers, situation)
        return seen[key]

    return observed


def _observe(kvm: Kvm, registers: tuple[Register, ...], situation: Situation) -> Observed:
    with kvm.create_vm() as vm:
        vm.vcpu.set_regs([(r, situation.values[r.name]) for r in registers])
        if situation.pv_time_ipa is not None:
            set_pv_time(vm, situation.pv_time_ipa)
        psci = vm.vcpu.get_reg(_PSCI_VERSION)
        timed = guests.timed_calls(vm.vcpu, [call_of(f) for f in FUNCTIONS])
    return Observed({f.name: r for f, r in zip(FUNCTIONS, timed.results, strict=True)}, timed.realtime, psci)


@pytest.fixture
def situations(registers: tuple[Register, ...], contract: Probe) -> Callable[[str], list[Situation]]:
    """For a register's name: each of its bitmaps, with the other registers full and empty, with and without PV time."""

    def of(name: str) -> list[Situation]:
        own = next((r for r in registers if r.name == name), None)
        found = []
        for level in ("full", "empty"):
            others = {r.name: r.mask if level == "full" else 0 for r in registers}
            for value in own.subsets() if own else (0,):
                values = others | ({name: value} if own else {})
                for ipa in (None, guests.PV_TIME_IPA) if contract.pv_time else (None,):
                    found.append(Situation(contract.dialect, values, contract.arch_counter, ipa))
        return found

    return of
