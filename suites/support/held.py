# SPDX-License-Identifier: GPL-2.0-only
"""Whether a VM's registers hold given values, and are fixed to them or writable, through each of its vCPUs."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.registers import Register
from helpers.kvm import Vcpu, Vm


def fill(vm: Vm, registers: Iterable[Register], held: str) -> dict[str, int]:
    """Sets every register to no bit or to every bit ("empty", "full"); the values by name."""
    values = {r.name: 0 if held == "empty" else r.mask for r in registers}
    vm.vcpu.set_regs([(r, values[r.name]) for r in registers])
    return values


def compare_fixed(
    comparison: Comparison, vcpus: Iterable[Vcpu], registers: Iterable[Register], values: dict[str, int], when: str
) -> None:
    """Through every vCPU the registers read ``values``, take those, and refuse whatever else."""
    for vcpu in vcpus:
        batch, made = vcpu.vm.batch(), []
        for register in registers:
            held = values[register.name]
            writes = [(v, 0 if v == held else EBUSY) for v in register.subsets()] + [(held | 1 << 63, EINVAL)]
            made += [
                (register, v, error, batch.set(vcpu, register, v), batch.get(vcpu, register)) for v, error in writes
            ]
        batch.run()
        for register, value, error, done, after in made:
            what = f"{register.name} = {value:#x} from {values[register.name]:#x} through vCPU {vcpu.index} {when}"
            comparison.error(what, error, done.errno)
            comparison.value(f"what reads back after {what}", values[register.name], after.value)


def compare_open(
    comparison: Comparison, vcpus: list[Vcpu], registers: Iterable[Register], values: dict[str, int], when: str
) -> None:
    """Through every vCPU the registers read ``values``, take every subset, and are left as they were found."""
    batch, made = vcpus[0].vm.batch(), []
    found = [(vcpu, register, batch.get(vcpu, register)) for vcpu in vcpus for register in registers]
    for vcpu in vcpus:
        for register in registers:
            held, subsets = values[register.name], register.subsets()
            made.append((vcpu, register, held, batch.set(vcpu, register, held), batch.get(vcpu, register)))
            made += [(vcpu, register, v, batch.set(vcpu, register, v), batch.get(vcpus[-1], register)) for v in subsets]
            made.append((vcpu, register, held, batch.set(vcpu, register, held), batch.get(vcpus[0], register)))
    batch.run()
    for vcpu, register, read in found:
        comparison.value(f"{register.name} through vCPU {vcpu.index} {when}", values[register.name], read.value)
    for vcpu, register, value, done, after in made:
        what = f"{register.name} = {value:#x} through vCPU {vcpu.index} {when}"
        comparison.error(what, 0, done.errno)
        comparison.value(f"what reads back after {what}", value, after.value)
