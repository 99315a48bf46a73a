# SPDX-License-Identifier: GPL-2.0-only
"""The bitmaps that the registers accept before any vCPU has run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product

import pytest

from helpers.contract.check import EINVAL, Comparison
from helpers.contract.registers import Register
from helpers.kvm import Vm
from helpers.smccc import U64
from suites.conftest import MakeVm

OCTETS = [range(at, at + 8) for at in range(0, 64, 8)]
"""The bits of one test. With one test for each bit, a fifth of all VMs of the suite would be for these tests."""

WRITES_AT_ONCE = 128
"""Writes in one round trip, each with two more calls: on a slow host, 500 of them take longer than a test may."""

Write = tuple[int, int]
"""The bitmap that a register holds, and the bitmap that is written to it."""


def _try_writes(vm: Vm, register: Register, others: Mapping[Register, int], writes: Iterable[Write]) -> None:
    """Makes each write, and asserts its errno, the register's value after it, and that the others did not change.

    The values of the others are given, not read: a write may change another register only the first time.
    """
    batch, made = vm.batch(), []
    for start, value in writes:
        batch.set(vm.vcpu, register, start)
        done, after = batch.set(vm.vcpu, register, value), batch.get(vm.vcpu, register)
        made.append((start, value, done, after, [batch.get(vm.vcpu, r) for r in others]))
    batch.run()
    comparison = Comparison()
    for start, value, done, after, kept in made:
        supported = not value & ~register.mask
        what = f"{register.name} = {value:#x} from {start:#x}"
        comparison.error(what, 0 if supported else EINVAL, done.errno)
        comparison.value(f"{register.name} after {what}", value if supported else start, after.value)
        for (other, held), now in zip(others.items(), kept, strict=True):
            comparison.value(f"{other.name} after {what}", held, now.value)
    comparison.done()


def _others(register: Register, registers: Iterable[Register]) -> dict[Register, int]:
    """The other registers of a fresh VM, and their values."""
    return {r: r.reset for r in registers if r is not register}


@pytest.mark.clause("LIMIT-1", "LIMIT-4")
def test_every_subset(register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Every accepted bitmap can be replaced by every other one."""
    _try_writes(make_vm(), register, _others(register, registers), product(register.subsets(), register.subsets()))


@pytest.mark.clause("LIMIT-4")
@pytest.mark.parametrize("level", ["empty", "full"])
def test_other_registers_stay(level: str, register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Writes do not change the other registers, empty or full."""
    vm = make_vm()
    others = {r: 0 if level == "empty" else r.mask for r in registers if r is not register}
    vm.vcpu.set_regs(list(others.items()))
    _try_writes(vm, register, others, product((0, register.mask), register.subsets()))


@pytest.mark.clause("LIMIT-1", "LIMIT-2", "LIMIT-3")
@pytest.mark.parametrize("bits", OCTETS, ids=lambda bits: f"bits{bits[0]}-{bits[-1]}")
def test_single_bit(bits: range, register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Each of the 64 bits alone: accepted if it is supported, otherwise EINVAL and no change."""
    writes = product(register.subsets(), [1 << bit for bit in bits])
    _try_writes(make_vm(), register, _others(register, registers), writes)


@pytest.mark.clause("LIMIT-2", "LIMIT-3")
def test_mixed_with_supported(register: Register, make_vm: MakeVm, renew_deadline: Callable[[], float]) -> None:
    """Each unsupported bit together with supported ones: EINVAL, and no bit is stored."""
    beside = [subset | 1 << bit for bit in range(64) for subset in register.subsets() if not register.mask >> bit & 1]
    vm, writes = make_vm(), list(product((0, register.mask), beside))
    for at in range(0, len(writes), WRITES_AT_ONCE):
        renew_deadline()
        # test_single_bit compares the other registers. Here each would cost a read for each of 500 writes.
        _try_writes(vm, register, {}, writes[at : at + WRITES_AT_ONCE])


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
    _try_writes(make_vm(), register, _others(register, registers), product(register.subsets(), [value[name]]))
