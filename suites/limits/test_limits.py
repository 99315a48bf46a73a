# SPDX-License-Identifier: GPL-2.0-only
"""Which bitmaps the registers accept before any vCPU has run."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from helpers.contract.check import EINVAL, Comparison
from helpers.contract.registers import Register
from helpers.kvm import Vm
from suites.conftest import MakeVm

U64 = (1 << 64) - 1


def _write_and_compare(
    vm: Vm, register: Register, others: Iterable[Register], start: int, value: int, c: Comparison
) -> None:
    """From ``start``, writes ``value``: the errno, what this register holds then, and that the others stay."""
    others = [r for r in others if r is not register]
    supported = not value & ~register.mask
    batch = vm.batch()
    batch.set(vm.vcpu, register, start)
    before = [batch.get(vm.vcpu, r) for r in others]
    done = batch.set(vm.vcpu, register, value)
    after = batch.get(vm.vcpu, register)
    kept = [batch.get(vm.vcpu, r) for r in others]
    batch.run()
    what = f"{register.name} = {value:#x} from {start:#x}"
    c.error(what, 0 if supported else EINVAL, done.errno)
    c.value(f"{register.name} after writing {value:#x} to {start:#x}", value if supported else start, after.value)
    for other, was, now in zip(others, before, kept, strict=True):
        c.value(f"{other.name} after {what}", was.ok().value or 0, now.value)


@pytest.mark.clause("LIMIT-1", "LIMIT-4")
def test_every_subset(register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """From every accepted bitmap to every other."""
    vm, comparison = make_vm(), Comparison()
    for start in register.subsets():
        for value in register.subsets():
            _write_and_compare(vm, register, registers, start, value, comparison)
    comparison.done()


@pytest.mark.clause("LIMIT-4")
@pytest.mark.parametrize("level", ["empty", "full"])
def test_other_registers_stay(level: str, register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Writes leave the other registers alone, whether those are empty or full."""
    vm, comparison = make_vm(), Comparison()
    vm.vcpu.set_regs([(r, 0 if level == "empty" else r.mask) for r in registers])
    for value in (*register.subsets(), 0, register.mask):
        _write_and_compare(vm, register, registers, register.mask, value, comparison)
    comparison.done()


@pytest.mark.clause("LIMIT-1", "LIMIT-2", "LIMIT-3")
@pytest.mark.parametrize("bit", range(64), ids=lambda bit: f"bit{bit}")
def test_single_bit(bit: int, register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Each of the 64 bits alone: accepted where supported, else EINVAL with nothing changed."""
    vm, comparison = make_vm(), Comparison()
    for start in {0, register.mask}:
        _write_and_compare(vm, register, registers, start, 1 << bit, comparison)
    comparison.done()


@pytest.mark.clause("LIMIT-2", "LIMIT-3")
def test_mixed_with_supported(register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Supported bits beside each unsupported one: refused whole, nothing stored."""
    vm, comparison = make_vm(), Comparison()
    for bit in (b for b in range(64) if not register.mask >> b & 1):
        for start in (0, register.mask):
            _write_and_compare(vm, register, registers, start, register.mask | 1 << bit, comparison)
    comparison.done()


@pytest.mark.clause("LIMIT-2", "LIMIT-3")
@pytest.mark.parametrize("name", ["all_ones", "all_unsupported", "upper_half", "lower_half"])
def test_many_bits(name: str, register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Wide bitmaps with unsupported bits."""
    value = {
        "all_ones": U64,
        "all_unsupported": U64 & ~register.mask,
        "upper_half": U64 << 32 & U64,
        "lower_half": U64 >> 32,
    }
    vm, comparison = make_vm(), Comparison()
    for start in register.subsets():
        _write_and_compare(vm, register, registers, start, value[name], comparison)
    comparison.done()
