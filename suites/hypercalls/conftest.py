# SPDX-License-Identifier: GPL-2.0-only
"""Every call in a given situation, made once in one guest and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pytest

from helpers import guests
from helpers.contract.functions import FUNCTIONS, Function, Situation
from helpers.contract.probe import Probe
from helpers.contract.registers import Register
from helpers.kvm import Kvm, KvmError, RegisterId, Vm
from helpers.smccc import Call, CallResult, Conduit
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm

GARBAGE = (0x1111_1111_DEAD_0001, 0x2222_2222_DEAD_0002, 0x3333_3333_DEAD_0003, 0x4444_4444_DEAD_0004,
           0x5555_5555_DEAD_0005, 0x6666_6666_DEAD_0006, 0x7777_7777_DEAD_0007)  # fmt: skip
"""Fills the argument registers that a call does not read, so that an answer that leaves one as it was shows."""


@dataclass(frozen=True)
class Form:
    """How a call is made: the instruction, and what stands in the upper half of x0."""

    name: str
    conduit: Conduit
    upper: int = 0

    def served(self, smc: bool) -> bool:
        """Whether KVM takes it for an SMCCC call; ``smc``: whether it serves SMC. HVC's immediate counts nothing."""
        return self.conduit not in (Conduit.SMC_1, Conduit.SMC_FFFF) and (smc or self.conduit is not Conduit.SMC)


HVC, SMC = Form("HVC", Conduit.HVC), Form("SMC", Conduit.SMC)
CONDUITS = (HVC, SMC)


@dataclass(frozen=True)
class Observed:
    """What the guest saw of every function in a situation, and what the host read beside it."""

    situation: Situation
    smc: bool
    results: dict[str, CallResult]
    realtime: tuple[int, int]
    psci_version: int


_PSCI_VERSION = RegisterId("PSCI_VERSION", uapi.fw_reg(0))


def call_of(function: Function, form: Form = HVC) -> Call:
    """The call, with garbage where it takes no argument."""
    return Call(form.upper | function.id, (*function.args, *GARBAGE[len(function.args) :]), form.conduit)


def set_pv_time(vm: Vm, ipa: int) -> None:
    """Gives the first vCPU a stolen-time area. Raises KvmError."""
    error = vm.vcpu.try_set_attr(uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA, ipa)
    if error:
        raise KvmError(f"KVM_ARM_VCPU_PVTIME_IPA = {ipa:#x} failed with errno {error}")


def hold(vm: Vm, registers: tuple[Register, ...], situation: Situation) -> None:
    """Puts a VM into a situation. Raises KvmError."""
    vm.vcpu.set_regs([(r, situation.values[r.name]) for r in registers])
    if situation.pv_time_ipa is not None:
        set_pv_time(vm, situation.pv_time_ipa)


class Observe(Protocol):
    """Makes all calls in a situation; asked again, it answers from the first time."""

    def __call__(self, situation: Situation, form: Form = HVC) -> Observed: ...


@pytest.fixture(scope="session")
def seen(contract: Probe) -> dict[tuple[object, ...], Observed]:
    """What was observed so far of this subject."""
    return {}


@pytest.fixture
def observe(kvm: Kvm, contract: Probe, seen: dict[tuple[object, ...], Observed]) -> Observe:
    """Every call in a situation and a form."""

    def observed(situation: Situation, form: Form = HVC) -> Observed:
        key = (*sorted(situation.values.items()), situation.pv_time_ipa, form)
        if key not in seen:
            seen[key] = _observe(kvm, contract, situation, form)
        return seen[key]

    return observed


def _observe(kvm: Kvm, contract: Probe, situation: Situation, form: Form) -> Observed:
    with kvm.create_vm() as vm:
        hold(vm, contract.registers, situation)
        psci = vm.vcpu.get_reg(_PSCI_VERSION)
        timed = guests.timed_calls(vm.vcpu, [call_of(f, form) for f in FUNCTIONS])
    results = {f.name: r for f, r in zip(FUNCTIONS, timed.results, strict=True)}
    return Observed(situation, contract.smc, results, timed.realtime, psci)


LEVELS = ("full", "empty")
At = Callable[[str, bool], Situation]
VmAt = Callable[[Situation], Vm]
Situations = Callable[[str], list[Situation]]


@pytest.fixture
def at(registers: tuple[Register, ...], contract: Probe) -> At:
    """The situation in which every register is full or empty, with or without PV time."""

    def situation(level: str, pv_time: bool) -> Situation:
        if pv_time and not contract.pv_time:
            pytest.skip("not applicable, because vCPUs of this kernel take no stolen-time area (KVM_HAS_DEVICE_ATTR)")
        values = {r.name: r.mask if level == "full" else 0 for r in registers}
        ipa = guests.PV_TIME_IPA if pv_time else None
        return Situation(contract.dialect, values, contract.arch_counter, ipa)

    return situation


@pytest.fixture
def vm_at(make_vm: MakeVm, registers: tuple[Register, ...]) -> VmAt:
    """A fresh VM in a situation."""

    def made(situation: Situation) -> Vm:
        vm = make_vm()
        hold(vm, registers, situation)
        return vm

    return made


@pytest.fixture
def situations(registers: tuple[Register, ...], contract: Probe) -> Situations:
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
