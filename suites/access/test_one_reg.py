# SPDX-License-Identifier: GPL-2.0-only
"""Each fault of a ONE_REG access, alone and with each other one: the errno, and that nothing changed."""

from __future__ import annotations

import errno
import struct

import pytest

from helpers.contract.access import Direction, FaultKind, combinations
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import RFC_V3, Register
from helpers.kvm import Vm
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.access.conftest import CANARY, Accesses, MakeMixed, Mixed
from suites.conftest import MakeVm

KINDS = [
    pytest.param(FaultKind.FD, marks=pytest.mark.clause("ACCESS-1"), id="dev_kvm"),
    pytest.param(FaultKind.VM_FD, marks=pytest.mark.clause("ACCESS-1"), id="vm_fd"),
    pytest.param(FaultKind.VCPU, marks=pytest.mark.clause("ACCESS-2"), id="vcpu_not_initialised"),
    pytest.param(FaultKind.STRUCT, marks=pytest.mark.clause("ACCESS-3"), id="struct_pointer"),
    pytest.param(FaultKind.ID_HIGH, marks=pytest.mark.clause("ACCESS-4"), id="id_upper_half"),
    pytest.param(FaultKind.ID_SIZE, marks=pytest.mark.clause("ACCESS-5"), id="id_size"),
    pytest.param(FaultKind.ID_LOW, marks=pytest.mark.clause("ACCESS-6"), id="id_lower_half"),
    pytest.param(FaultKind.POINTER, marks=pytest.mark.clause("ACCESS-7"), id="value_pointer"),
]
SET_KINDS = [
    *KINDS,
    pytest.param(FaultKind.VALUE, marks=pytest.mark.clause("ACCESS-8"), id="unsupported_bit"),
    pytest.param(FaultKind.LOCK, marks=pytest.mark.clause("ACCESS-8"), id="change_after_run"),
]


def _try_all(
    direction: Direction, kind: FaultKind, holds: int, register: Register, contract: Probe, mixed: Mixed
) -> Comparison:
    """Each fault of the kind, alone and with the others. After KVM_RUN: the faults that need it, and each GET again."""
    mixed.vm.vcpu.set_reg(register, holds)
    before, after = (Accesses(mixed.vm, mixed.blank, register, holds) for _ in range(2))
    for wrong in combinations(kind, direction, contract.dialect):
        locked = any(fault.kind is FaultKind.LOCK for fault in wrong)
        if not locked:
            before.add(direction, wrong)
        if locked or direction is Direction.GET:
            after.add(direction, wrong)
    comparison = Comparison()
    before.run(comparison)
    comparison.error("KVM_RUN with immediate_exit", errno.EINTR, mixed.vm.vcpu.immediate_exit())
    after.run(comparison)
    return comparison


@pytest.mark.clause("ACCESS-9")
@pytest.mark.parametrize("kind", KINDS)
def test_refused_get(kind: FaultKind, register: Register, contract: Probe, make_mixed: MakeMixed) -> None:
    """KVM_GET_ONE_REG gives the errno of the first check that fails. The caller's memory does not change."""
    _try_all(Direction.GET, kind, register.mask, register, contract, make_mixed()).done()


@pytest.mark.clause("ACCESS-9")
@pytest.mark.parametrize("held", ["empty", "full"])
@pytest.mark.parametrize("kind", SET_KINDS)
def test_refused_set(kind: FaultKind, held: str, register: Register, contract: Probe, make_mixed: MakeMixed) -> None:
    """KVM_SET_ONE_REG gives the errno of the first check that fails. The register does not change."""
    holds = register.mask if held == "full" else 0
    _try_all(Direction.SET, kind, holds, register, contract, make_mixed()).done()


@pytest.mark.clause("ACCESS-10")
@pytest.mark.parametrize("shift", [0, 1, 4], ids=lambda shift: f"{shift}_bytes_off")
def test_read_writes_eight_bytes(shift: int, register: Register, make_vm: MakeVm) -> None:
    """At any alignment, before and after KVM_RUN: the bytes around the value and the struct do not change."""
    vm, comparison = make_vm(), Comparison()
    for when in ("before", "after"):
        for value in register.subsets() if when == "before" else register.subsets()[-1:]:
            batch = vm.batch()
            put = batch.set(vm.vcpu, register, value)
            memory = batch.program.scratch_bytes(CANARY * 4)
            block = batch.program.scratch_bytes(bytes(16) + CANARY)
            one_reg = batch.program.one_reg_at(block, register, memory + (8 + shift), CANARY)
            request, got = batch.program.peek(block, 24), batch.get_into(vm.vcpu, one_reg)
            around, argument = batch.program.peek(memory, 32), batch.program.peek(block, 24)
            answer = batch.run()
            put.ok()
            what = f"KVM_GET_ONE_REG of {register.name} = {value:#x} {when} a run"
            comparison.error(what, 0, got.errno)
            expected = CANARY[:8] + CANARY[:shift] + struct.pack("<Q", value) + CANARY[shift:] + CANARY
            found = answer[around].data
            comparison.that(found == expected, f"memory after {what}", expected.hex(" ", 8), found.hex(" ", 8))
            same = answer[request].data == answer[argument].data
            comparison.that(same, f"the argument after {what}", "the same bytes", answer[argument].data.hex(" ", 8))
        vm.vcpu.immediate_exit()
    comparison.done()


def _unknown(contract: Probe, indices: range) -> list[RegisterId]:
    """Unknown ids in the range of the dialect's registers. In the RFC's range the first ids are firmware registers."""
    base, first = (uapi.fw_reg(0), 6) if contract.dialect is RFC_V3 else (uapi.fw_feat_bmap_reg(0), 0)
    known = {r.id for r in contract.registers}
    return [RegisterId(f"index {i:#x}", base | i) for i in indices if i >= first and base | i not in known]


def _compare_unknown(vm: Vm, unknown: list[RegisterId], comparison: Comparison) -> None:
    batch = vm.batch()
    made = [(batch.get(vm.vcpu, r, memory=0xA5A5), batch.set(vm.vcpu, r, 0)) for r in unknown]
    batch.run()
    for register, (get, put) in zip(unknown, made, strict=True):
        comparison.error(f"KVM_GET_ONE_REG of {register.name} ({register.id:#x})", errno.ENOENT, get.errno)
        comparison.value(f"the caller's memory after KVM_GET_ONE_REG of {register.name}", 0xA5A5, get.memory)
        comparison.error(f"KVM_SET_ONE_REG of {register.name} ({register.id:#x})", errno.ENOENT, put.errno)


@pytest.mark.clause("ACCESS-6")
@pytest.mark.parametrize(
    "indices", [range(256), range(0x1000, 0x1100), range(0xFF00, 0x10000)], ids=["first", "middle", "last"]
)
def test_unknown_index(indices: range, contract: Probe, registers: tuple[Register, ...], make_mixed: MakeMixed) -> None:
    """Unknown ids give ENOENT, before and after KVM_RUN, and the accesses do not change the registers."""
    vm = make_mixed().vm
    unknown, held = _unknown(contract, indices), vm.vcpu.get_regs(registers)
    comparison = Comparison()
    _compare_unknown(vm, unknown, comparison)
    comparison.error("KVM_RUN with immediate_exit", errno.EINTR, vm.vcpu.immediate_exit())
    _compare_unknown(vm, unknown, comparison)
    for register, was, now in zip(registers, held, vm.vcpu.get_regs(registers), strict=True):
        comparison.value(f"{register.name} after accesses to unknown ids", was, now)
    comparison.done()
