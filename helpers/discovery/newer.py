# SPDX-License-Identifier: GPL-2.0-only
"""Measures what a kernel has beyond the tables: bits, registers, versions, and the functions that they enable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from helpers import guests
from helpers.batch import KvmError, Pending
from helpers.contract.arguments import UNASSIGNED, is_architecture
from helpers.contract.calling_forms import GARBAGE
from helpers.contract.features import Probe, bitmap_name
from helpers.contract.functions import CLOSED
from helpers.contract.newer import Classified, Measured, classify
from helpers.contract.registers import Dialect, Register
from helpers.kvm import Kvm, Vm
from helpers.smccc import SMCCC_1_1, Call

_SMCCC_VERSION = 0x80000000
_VMS = 6
_DEADLINE_MS = 60_000
_TURNS = ((0, 1), (0,), (0, 1, 2))
"""For the first VM, the second one, and the others."""


def classify_registers(
    kvm: Kvm, dialect: Dialect, present: tuple[Register, ...], listed: Iterable[int]
) -> tuple[Classified, ...]:
    """Each register in ``present``, and each listed one that the tables lack and that can be read.

    Raises KvmError if no VM can be created.
    """
    ids = {register.id for register in present}
    names = dict.fromkeys(number for number in listed if number not in ids)
    lacking = tuple(Register(bitmap_name(dialect, number), number, (), 0) for number in names)
    with kvm.create_vm() as vm:
        reads = [vm.vcpu.try_get_reg(register)[0] for register in lacking]
    unknown = tuple(register for register, value in zip(lacking, reads, strict=True) if value is not None)
    every = (*present, *unknown)
    return tuple(classify(r, _measure(kvm, r, every, known=r in present), known=r in present) for r in every)


def _measure(kvm: Kvm, register: Register, every: tuple[Register, ...], *, known: bool) -> Measured:
    """Two VMs if their answers agree with the tables, otherwise more: after other writes, in another order."""
    resets: list[int | None] = []
    ways: list[int] = []
    together = False
    for number in range(_VMS):
        with kvm.create_vm() as vm:
            for other in every if number % 2 else ():
                if other is not register:
                    vm.vcpu.try_set_reg(other, 0)
            bits = range(64) if number < _VMS - 2 else range(63, -1, -1)
            reset, more = _try_bits(vm, register, bits, _TURNS[min(number, 2)])
            together = not vm.vcpu.try_set_reg(register, register.mask)
            vm.vcpu.try_set_reg(register, 0)
        resets.append(reset)
        ways += more
        as_known = {*resets} == {register.reset} and {*ways} == {register.mask}
        if known and as_known and number == 1:
            return Measured(tuple(resets), tuple(ways), together)
    return Measured(tuple(resets), tuple(ways), _accepts_together(kvm, register, ways))


def _accepts_together(kvm: Kvm, register: Register, ways: Iterable[int]) -> bool:
    always = (1 << 64) - 1
    for way in ways:
        always &= way
    with kvm.create_vm() as vm:
        refused = vm.vcpu.try_set_reg(register, always)
        value, _ = vm.vcpu.try_get_reg(register)
        vm.vcpu.try_set_reg(register, 0)
    return not refused and value == always


def _try_bits(
    vm: Vm, register: Register, bits: Iterable[int], turns: tuple[int, ...]
) -> tuple[int | None, tuple[int, ...]]:
    """The reset value, and the accepted bits: alone and beside the known ones, for each turn.

    A bit is accepted if the write succeeds and the value reads back. A turn is the number of additional writes before
    a bit's write, to detect a kernel whose answer depends on the number of writes.
    """
    batch = vm.batch()
    # More than a thousand calls: on a host where each takes milliseconds, the default is too short.
    batch.program.deadline_ms = _DEADLINE_MS
    reset = batch.get(vm.vcpu, register)
    made: list[tuple[tuple[bool, int], int, int, Pending, Pending]] = []
    for beside, bit, turn in product((False, True), bits, turns):
        base = register.mask if beside else 0
        for _ in range(turn + 1):
            batch.set(vm.vcpu, register, base)
        value = base | 1 << bit
        done, read = batch.set(vm.vcpu, register, value), batch.get(vm.vcpu, register)
        made.append(((beside, turn), bit, value, done, read))
    batch.run()
    ways = dict.fromkeys(product((False, True), turns), 0)
    for way, bit, value, done, read in made:
        ways[way] |= 1 << bit if not done.errno and read.value == value else 0
    return (None if reset.errno else reset.value), tuple(ways.values())


def add_guest_facts(kvm: Kvm, probe: Probe) -> Probe:
    """The probe with the guest's SMCCC version, and with the functions that unknown services enable.

    Raises KvmError if no VM can be created.
    """
    smccc = _smccc_version(kvm)
    newer = replace(probe, smccc=smccc if smccc > SMCCC_1_1 else SMCCC_1_1)
    return replace(newer, new_functions=_new_functions(kvm, newer)) if newer.unknown else newer


def _smccc_version(kvm: Kvm) -> int:
    """0 if the guest does not come back, which other tests report, or if the call is not supported."""
    with kvm.create_vm() as vm:
        try:
            x0 = guests.call(vm.vcpu, Call(_SMCCC_VERSION)).x[0]
        except KvmError:
            return 0
    return 0 if x0 >> 31 else x0


def _new_functions(kvm: Kvm, probe: Probe) -> frozenset[int]:
    """The functions that answer only if unknown bits are set.

    Arm's architecture calls, which no bit enables, also count with a newer SMCCC or an unknown firmware register.
    """
    without = _answering(kvm, probe, [(r, r.mask & ~r.unknown) for r in probe.registers])
    with_unknown = _answering(kvm, probe, [(r, r.mask) for r in probe.registers])
    architecture = {i for i in without if is_architecture(i)} if probe.smccc > SMCCC_1_1 or probe.firmware else set()
    return frozenset(with_unknown - without | architecture)


def _answering(kvm: Kvm, probe: Probe, values: list[tuple[Register, int]]) -> set[int]:
    with kvm.create_vm() as vm:
        try:
            vm.vcpu.set_regs(values)
            calls = [Call(number, args) for number in UNASSIGNED for args in ((), GARBAGE)]
            results = guests.calls(vm.vcpu, calls)
        except KvmError:
            return set()
    return {call.function for call, result in zip(calls, results, strict=True) if result.x0_3 != CLOSED}
