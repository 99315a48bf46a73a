# SPDX-License-Identifier: GPL-2.0-only
"""Long sequences of calls on one VM: each answer is the one that the first call of its kind would get."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import pytest

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.executor.program import Answer
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram, RegRead
from suites.conftest import MakeVm
from suites.support.view import compare_view

CHANGE, SAME, REFUSED, READ = KINDS = ("change", "same value", "unsupported bit", "read")
IN_A_ROW = 18
"""The most calls of one kind before a call of each other kind. All smaller numbers occur as well."""
MANY = 300
_PART = 2000
"""Calls of a program. On a host where a call takes milliseconds, more calls would exceed the test's timeout."""


def kinds() -> Iterator[str]:
    """The sequence: each kind up to IN_A_ROW times before each other kind, all in turn, and each MANY times."""
    for count, kind in product(range(1, IN_A_ROW + 1), KINDS):
        for other in (each for each in KINDS if each != kind):
            yield from (kind,) * count
            yield from (other, READ)
    for _ in range(MANY):
        yield from (REFUSED, CHANGE, READ, SAME)
    for kind in KINDS:
        yield from (kind,) * MANY
        yield from (CHANGE, READ)


@dataclass(frozen=True)
class _Step:
    """A call and the answer that it must get: an errno, or for a read a value."""

    kind: str
    value: int
    errno: int
    call: object


class _Sequence:
    """One program with a part of the sequence for a register. The calls alternate between the VM's vCPUs."""

    def __init__(self, vm: Vm, register: Register, held: int, part: list[tuple[int, str]], *, locked: bool) -> None:
        self._program, self._vm, self._register, self._locked = KvmProgram(deadline_ms=60_000), vm, register, locked
        values = (*register.subsets(), *(value | register.beyond for value in register.subsets()))
        self._writes = {value: self._program.one_reg(register, value) for value in values}
        self._read = self._program.one_reg(register)
        self.held, self._first = held, part[0][0]
        self._steps = [self._step(number, kind) for number, kind in part]

    def _step(self, number: int, kind: str) -> _Step:
        vcpu, register = self._vm.vcpus[number // 3 % len(self._vm.vcpus)], self._register
        if kind == READ:
            return _Step(kind, self.held, 0, self._program.get_reg(vcpu.fd, self._read))
        subsets = register.subsets()
        value, error = self.held, 0
        if kind == CHANGE:
            value = subsets[(subsets.index(self.held) + 1 + number % max(1, len(subsets) - 1)) % len(subsets)]
            error = EBUSY if self._locked and value != self.held else 0
        elif kind == REFUSED:
            value, error = subsets[number % len(subsets)] | register.beyond, EINVAL
        step = _Step(kind, value, error, self._program.set_reg(vcpu.fd, self._writes[value]))
        self.held = self.held if error else value
        return step

    def compare(self, comparison: Comparison) -> None:
        """Runs the program and compares each answer."""
        answer = self._vm.kvm.subject.run(self._program)
        for number, step in enumerate(self._steps, self._first):
            what = f"call {number}, {step.kind}, of {self._register.name}{' after KVM_RUN' * self._locked}"
            _compare(comparison, what, step, answer)


def _compare(comparison: Comparison, what: str, step: _Step, answer: Answer) -> None:
    if isinstance(step.call, RegRead):
        error = step.call.errno(answer)
        comparison.value(what, step.value, None if error else step.call.value(answer))
    else:
        result = answer[step.call]  # type: ignore[index]
        comparison.error(f"{what} ({step.value:#x})", step.errno, result.errno if result.ran else None)


@pytest.mark.clause("HISTORY-1")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_long_sequences(
    when: str,
    make_vm: MakeVm,
    contract: Probe,
    registers: tuple[Register, ...],
    renew_deadline: Callable[[], float],
) -> None:
    """Thousands of calls on one VM: each answer is right, and at the end the guest sees the registers' values."""
    vm, comparison, held = make_vm(2), Comparison(), {}
    for register in registers:
        vm.vcpu.set_reg(register, register.mask & register.mask - 1)
    if when == "after_run":
        vm.vcpus[1].immediate_exit()
    steps = list(enumerate(kinds(), 1))
    for register in registers:
        held[register.name] = register.mask & register.mask - 1
        for start in range(0, len(steps), _PART):
            renew_deadline()
            part = steps[start : start + _PART]
            sequence = _Sequence(vm, register, held[register.name], part, locked=when == "after_run")
            sequence.compare(comparison)
            held[register.name] = sequence.held
    compare_view(comparison, vm.vcpu, contract, held, f"after the sequences, {when}")
    comparison.done()
