# SPDX-License-Identifier: GPL-2.0-only
"""Makes every call in a situation once, in one guest, and keeps the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pytest

from helpers import guests
from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS, Situation
from helpers.contract.registers import Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm
from helpers.smccc import CallResult
from helpers.subjects.base import Subject
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.support.calls import HVC, Form, call_of, hold


@dataclass(frozen=True)
class Observed:
    """The guest's answers to every function in a situation, and the host's wall clock (ns) before and after them."""

    situation: Situation
    smc: bool
    results: dict[str, CallResult]
    realtime: tuple[int, int]
    psci_version: int
    smccc_version: int


_PSCI_VERSION = RegisterId("PSCI_VERSION", uapi.fw_reg(0))


class Observe(Protocol):
    """Makes all calls in a situation once, and returns the kept answers after that."""

    def __call__(self, situation: Situation, form: Form = HVC) -> Observed: ...


@pytest.fixture(scope="session")
def seen(subject: Subject) -> dict[tuple[object, ...], Observed]:
    """The kept answers of this subject."""
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
    return Observed(situation, contract.smc, results, timed.realtime, psci, contract.smccc)


Situations = Callable[[str], list[Situation]]


@pytest.fixture
def situations(registers: tuple[Register, ...], contract: Probe) -> Situations:
    """The situations for a register: each bitmap, the other registers full and empty, with and without PV time."""

    def of(name: str) -> list[Situation]:
        own = next((r for r in registers if r.name == name), None)
        found = []
        for level in ("full", "empty"):
            others = {r.name: r.mask if level == "full" else 0 for r in registers}
            for value in own.subsets() if own else (0,):
                values = others | ({name: value} if own else {})
                for ipa in (None, PV_TIME_IPA) if contract.pv_time else (None,):
                    found.append(Situation(contract.dialect, values, contract.arch_counter, ipa))
        return found

    return of
