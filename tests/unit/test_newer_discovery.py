# SPDX-License-Identifier: GPL-2.0-only
"""Discovery's measurement of a register, on VMs whose registers a function decides."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.contract.registers import MAINLINE, VENDOR_HYP, VENDOR_HYP_2, Register
from helpers.discovery.newer import classify_registers
from helpers.uapi.kvm import fw_feat_bmap_reg

EINVAL = 22
TABLES = {register.name: register for register in MAINLINE.registers}
RESETS = {register.id: register.reset for register in MAINLINE.registers}


@dataclass
class Write:
    """A write to a register, as the kernel sees it: how many VMs and writes there were before it."""

    vm: int
    number: int
    held: int
    value: int


Accepts = Callable[[Write], bool]


@dataclass
class Done:
    """What a batch gives for one access."""

    errno: int = 0
    value: int | None = None


@dataclass
class FakeKvm:
    """Creates VMs with one register of interest; the others are the tables'."""

    register: Register
    reset: int
    accepts: Accepts
    vms: int = 0
    writes: int = 0

    @contextmanager
    def create_vm(self) -> Iterator[FakeVm]:
        self.vms += 1
        yield FakeVm(self, self.vms, RESETS | {self.register.id: self.reset})


@dataclass
class FakeVm:
    """A VM, its vCPU and its batches in one."""

    kvm: FakeKvm
    number: int
    values: dict[int, int] = field(default_factory=dict)
    program: SimpleNamespace = field(default_factory=SimpleNamespace)

    @property
    def vcpu(self) -> FakeVm:
        return self

    def batch(self) -> FakeVm:
        return self

    def run(self) -> None:
        """The accesses are made at once."""

    def set(self, vcpu: object, register: Register, value: int) -> Done:
        return Done(self.try_set_reg(register, value))

    def get(self, vcpu: object, register: Register) -> Done:
        return Done(0, self.values.get(register.id, 0))

    def try_set_reg(self, register: Register, value: int) -> int:
        self.kvm.writes += 1
        held = self.values.get(register.id, 0)
        write = Write(self.number, self.kvm.writes, held, value)
        accepts = self.kvm.accepts if register.id == self.kvm.register.id else within(register.mask)
        if not accepts(write):
            return EINVAL
        self.values[register.id] = value
        return 0

    def try_get_reg(self, register: Register) -> tuple[int | None, int]:
        return self.values.get(register.id, 0), 0


def found(name: str, reset: int, accepts: Accepts) -> tuple[int, list[str]]:
    """The unknown bits of a register, and the clauses that its answers break."""
    kvm: Any = FakeKvm(TABLES[name], reset, accepts)
    every = classify_registers(kvm, MAINLINE, MAINLINE.registers, [r.id for r in MAINLINE.registers])
    ((register, wrong),) = ((c.register, c.contradictions) for c in every if c.register.name == name)
    return register.unknown, sorted({each.clause for each in wrong})


def within(mask: int) -> Accepts:
    return lambda write: not write.value & ~mask


@pytest.mark.parametrize("name", TABLES)
def test_a_known_register(name: str) -> None:
    assert found(name, TABLES[name].reset, within(TABLES[name].mask)) == (0, [])


def test_a_new_bit_with_and_without_a_place_in_the_reset_value() -> None:
    assert found(VENDOR_HYP, 7, within(7)) == (4, [])
    assert found(VENDOR_HYP, 3, within(7)) == (0, ["LIMIT-2"])
    assert found(VENDOR_HYP_2, 0, within(0x13)) == (0x10, [])


SOMETIMES: dict[str, Accepts] = {
    "every second write": lambda write: write.number % 2 == 0,
    "every third write": lambda write: write.number % 3 == 0,
    "every second VM": lambda write: write.vm % 2 == 0,
    "the first VMs": lambda write: write.vm < 10,
    "an empty register only": lambda write: not write.held,
    "beside another bit only": lambda write: bool(write.value & 3),
    "alone only": lambda write: not write.value & 3,
}


@pytest.mark.parametrize("when", SOMETIMES)
def test_a_bit_that_is_accepted_only_sometimes(when: str) -> None:
    def accepts(write: Write) -> bool:
        return not write.value & ~3 or (not write.value & ~7 and SOMETIMES[when](write))

    unknown, clauses = found(VENDOR_HYP_2, 0, accepts)
    assert unknown == 0 and clauses, when


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_bits_that_are_accepted_at_random(seed: int, chance: float) -> None:
    chances = random.Random(seed)
    _, clauses = found(VENDOR_HYP_2, 0, lambda write: not write.value & ~3 or chances.random() < chance)
    assert "LIMIT-2" in clauses


def test_a_register_that_the_tables_lack() -> None:
    number = fw_feat_bmap_reg(4)
    kvm: Any = FakeKvm(Register("BMAP_4", number, (), 0), 1, within(3))
    *_, last = classify_registers(kvm, MAINLINE, (), [number, number])
    assert (last.register.name, last.register.unknown, last.register.reset) == ("BMAP_4", 3, 1)
    assert not last.contradictions
