# SPDX-License-Identifier: GPL-2.0-only
"""Compares a VM's registers with given values, locked or writable, through each of its vCPUs."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.registers import Register
from helpers.kvm import Vcpu, Vm


def fill(vm: Vm, registers: Iterable[Register], held: str) -> dict[str, int]:
    """Sets every register to no bit ("empty") or to every bit ("full"). Returns the values by name."""
    values = {r.name: 0 if held == "empty" else r.mask for r in registers}
    vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
    return values


def compare_fixed(
    comparison: Comparison, vcpus: Iterable[Vcpu], registers: Iterable[Register], values: dict[str, int], when: str
) -> None:
    """Through every vCPU the registers read ``values``, accept those, and refuse every other value."""
    for vcpu in vcpus:
        batch, accesses = vcpu.vm.batch(), []
        for register in registers:
            held = values[register.name]
            writes = [(v, 0 if v == held else EBUSY) for v in register.subsets()] + [(held | register.beyond, EINVAL)]
            accesses += [
                (register, v, error, batch.set(vcpu, register, v), batch.get(vcpu, register)) for v, error in writes
            ]
        batch.run()
        for register, value, error, done, after in accesses:
            what = f"{register.name} = {value:#x} from {values[register.name]:#x} through vCPU {vcpu.index} {when}"
            comparison.error(what, error, done.errno)
            comparison.value(f"the value after {what}", values[register.name], after.value)


def compare_open(
    comparison: Comparison, vcpus: list[Vcpu], registers: Iterable[Register], values: dict[str, int], when: str
) -> None:
    """Through every vCPU the registers read ``values`` and accept every subset. Restores the values."""
    batch, accesses = vcpus[0].vm.batch(), []
    reads = [(vcpu, register, batch.get(vcpu, register)) for vcpu in vcpus for register in registers]
    for vcpu in vcpus:
        for register in registers:
            held, subsets = values[register.name], register.subsets()
            writes = [(held, vcpu), *((value, vcpus[-1]) for value in subsets), (held, vcpus[0])]
            accesses += [(vcpu, register, v, batch.set(vcpu, register, v), batch.get(by, register)) for v, by in writes]
    batch.run()
    for vcpu, register, read in reads:
        comparison.value(f"{register.name} through vCPU {vcpu.index} {when}", values[register.name], read.value)
    for vcpu, register, value, done, after in accesses:
        what = f"{register.name} = {value:#x} through vCPU {vcpu.index} {when}"
        comparison.error(what, 0, done.errno)
        comparison.value(f"the value after {what}", value, after.value)
