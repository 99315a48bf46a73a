# SPDX-License-Identifier: GPL-2.0-only
"""The workaround registers, and that a write to one firmware register changes no other."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.neighbours import PSCI_0_2, PSCI_VERSION, WORKAROUND_REGISTERS, Workaround
from helpers.contract.registers import Register
from helpers.smccc import Call
from suites.conftest import MakeVm
from suites.support.calls import GARBAGE, REGISTER_LEVELS

VALUES = (*range(0x40), *(1 << bit for bit in range(6, 64)), *(1 << bit | 1 for bit in range(32, 64)), (1 << 64) - 1)
ARCH_FEATURES = 0x80000001


@pytest.mark.clause("WORKAROUND-1")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_level(level: str, workaround: Workaround, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """The level is a defined one, the same through each vCPU, and agrees with ARCH_FEATURES under any bitmap."""
    vm, comparison = make_vm(2), Comparison()
    vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
    read = [vcpu.get_reg(workaround.register) for vcpu in vm.vcpus]
    what = f"{workaround.register.name} through each vCPU"
    levels = ", ".join(map(str, workaround.answers))
    comparison.that(read[0] in workaround.answers and len(set(read)) == 1, what, f"one of {levels}", str(read))
    expected = (workaround.answers.get(read[0], -1), 0, 0, 0)
    seen = guests.call(vm.vcpu, Call(ARCH_FEATURES, (workaround.function, *GARBAGE[1:]))).x0_3
    comparison.x(f"ARCH_FEATURES({workaround.register.name}) at level {read[0]}", expected, seen)
    comparison.done()


@pytest.mark.clause("WORKAROUND-2")
@pytest.mark.parametrize("ran", [False, True], ids=["before_run", "after_run"])
def test_writes(ran: bool, workaround: Workaround, make_vm: MakeVm) -> None:
    """Levels up to the host's are accepted, others give EINVAL, never EBUSY, and no write changes the register."""
    vcpu = make_vm().vcpu
    if ran:
        guests.call(vcpu, Call(0x80000000))
    level = vcpu.get_reg(workaround.register)
    batch = vcpu.vm.batch()
    made = [(v, batch.set(vcpu, workaround.register, v), batch.get(vcpu, workaround.register)) for v in VALUES]
    batch.run()
    comparison = Comparison()
    for value, done, after in made:
        what = f"{workaround.register.name} = {value:#x} on a host of level {level}"
        comparison.error(what, 0 if workaround.accepts(value, level) else EINVAL, done.errno)
        comparison.value(f"{workaround.register.name} after that write", level, after.value)
    comparison.done()


@pytest.mark.clause("NEIGHBOUR-1")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_bitmaps_stay(level: str, workaround: Workaround, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Writes to PSCI_VERSION and to a workaround register, accepted or refused, change no bitmap."""
    vcpu, comparison = make_vm().vcpu, Comparison()
    wanted = [r.mask if level == "full" else 0 for r in registers]
    vcpu.set_regs(list(zip(registers, wanted, strict=True)))
    for register in (PSCI_VERSION, workaround.register):
        for value in (0, PSCI_0_2, 0x10000, (1 << 64) - 1):
            vcpu.try_set_reg(register, value)
            for bitmap, expected, got in zip(registers, wanted, vcpu.get_regs(registers), strict=True):
                comparison.value(f"{bitmap.name} after {register.name} = {value:#x}", expected, got)
    comparison.done()


@pytest.mark.clause("NEIGHBOUR-1", "MIGRATE-1", "DEFAULT-3")
def test_unknown_firmware_registers(registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """The value is the same in each VM, through each vCPU, after a run and another INIT. It can be written back."""
    if not contract.firmware:
        pytest.skip("not applicable, because KVM_GET_REG_LIST shows no firmware register that the tables lack")
    vm, other, comparison = make_vm(2), make_vm(), Comparison()
    bitmaps = vm.vcpu.get_regs(registers)
    for register in contract.firmware:
        value, _ = vm.vcpu.try_get_reg(register)
        comparison.that(value is not None, f"{register.name} in a new VM", "a value", "a read that fails")
        for when in ("before a run", "after a run", "after another KVM_ARM_VCPU_INIT"):
            if when == "after a run":
                vm.vcpu.immediate_exit()
            elif when != "before a run":
                comparison.error(when, 0, vm.vcpu.try_init())
            for vcpu in (*vm.vcpus, other.vcpu):
                what = f"{register.name} through vCPU {vcpu.index} {when}"
                comparison.error(f"writing back {what}", 0, vcpu.try_set_reg(register, value or 0))
                comparison.value(what, value or 0, vcpu.try_get_reg(register)[0])
    for bitmap, was, now in zip(registers, bitmaps, vm.vcpu.get_regs(registers), strict=True):
        comparison.value(f"{bitmap.name} after these writes", was, now)
    comparison.done()


@pytest.mark.clause("NEIGHBOUR-1")
def test_neighbours_stay(register: Register, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """Writes to a bitmap, accepted or refused, change neither PSCI_VERSION nor a workaround register."""
    vcpu, comparison = make_vm().vcpu, Comparison()
    bitmaps = {r.id for r in registers}
    others = [PSCI_VERSION, *(w.register for w in WORKAROUND_REGISTERS if w.register.id not in bitmaps)]
    vcpu.set_reg(PSCI_VERSION, PSCI_0_2)
    before = vcpu.get_regs(others)
    for value in (*register.subsets(), register.beyond, (1 << 64) - 1):
        vcpu.try_set_reg(register, value)
        for other, expected, got in zip(others, before, vcpu.get_regs(others), strict=True):
            comparison.value(f"{other.name} after {register.name} = {value:#x}", expected, got)
    comparison.done()
