# SPDX-License-Identifier: GPL-2.0-only
"""KVM_SET_ONE_REG while another thread changes its id or value in the caller's memory: KVM must read both once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.registers import Register
from helpers.errors import NotMeasured
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram
from suites.concurrency.changes import FEWEST, PARTS, changing, more_changes, share_a_core, switches
from suites.concurrency.sample import READ_ONCE, chances
from suites.conftest import MakeVm
from suites.support.threads import run_to_the_end

WRITES, MOST_PROGRAMS = 400, 6
"""Calls of one program, and the most programs. A test ends earlier if the memory changed between enough calls."""


@dataclass(frozen=True)
class Flip:
    """Two words between which another thread alternates in the caller's memory.

    ``words`` are two values for the register. If ``named`` is a register, they are ids instead, the first one the id
    of ``named``, and the value is always ``value``. ``errors`` are the errnos for the first and for the second word.
    """

    what: str
    words: tuple[int, int]
    errors: tuple[int, int]
    named: Register | None = None
    value: int = 0

    @property
    def byte(self) -> int:
        """The number of the byte that differs."""
        number = ((self.words[0] ^ self.words[1]).bit_length() - 1) // 8
        assert (self.words[0] ^ self.words[1]) & ~(0xFF << 8 * number) == 0, f"other bytes differ in {self.words}"
        return number


def _flips(register: Register, registers: tuple[Register, ...], held: int) -> Iterator[Flip]:
    """The pairs of words for a register that is not locked and has the value ``held``."""
    yield Flip("its value and an unsupported one", (held, held | register.beyond), (0, EINVAL))
    for other in registers:
        wrong = next((v for v in other.subsets() if v & ~register.mask), None)
        if wrong is not None and (other.id ^ register.id) < 1 << 8:
            yield Flip(f"its id and the id of {other.name}", (other.id, register.id), (0, EINVAL), other, wrong)
            return


def _writes(vm: Vm, register: Register, flip: Flip, held: int, changes: int, *, together: bool) -> int:
    """One program of WRITES calls, each with a read after it. Returns how often the result of the calls changed."""
    program, comparison, name = KvmProgram(deadline_ms=60_000), Comparison(), register.name
    setter = program.one_reg(flip.named or register, flip.value if flip.named else flip.words[0], in_scratch=True)
    reader = program.one_reg(register)
    assert setter.address is not None
    at = setter.address + flip.byte + (0 if flip.named else 16)
    low, high = (word >> 8 * flip.byte & 0xFF for word in flip.words)
    with changing(vm.kvm, program, at, (low, high), changes, together=together):
        calls = []
        for number in range(WRITES):
            if number % (WRITES // PARTS) == 0:
                program.barrier()
            calls.append((program.set_reg(vm.vcpu.fd, setter), program.get_reg(vm.vcpu.fd, reader)))
    answer = run_to_the_end(vm.kvm, program, f"A race of {name} with a change of the caller's memory")
    errors = [answer[done].errno for done, _ in calls]
    for number, (error, (_, read)) in enumerate(zip(errors, calls, strict=True)):
        what = f"call {number} for {name}, while another thread alternates between {flip.what}"
        comparison.that(error in flip.errors, what, f"an errno of {flip.errors}", str(error))
        comparison.error(f"reading {name} after {what}", 0, read.errno(answer))
        comparison.value(f"{name} after {what}", held, read.value(answer))
    comparison.done()
    return switches(errors)


def _race(vm: Vm, register: Register, flip: Flip, held: int, enough: int, renew: Callable[[], float]) -> None:
    """Runs programs until the result of the calls changed ``enough`` times."""
    changes, met, programs = FEWEST, 0, 0
    while met < enough and programs < MOST_PROGRAMS:
        renew()
        together = share_a_core(vm.kvm, met, programs, MOST_PROGRAMS)
        met_now = _writes(vm, register, flip, held, changes, together=together)
        met, programs, changes = met + met_now, programs + 1, more_changes(changes, met_now, WRITES)
    if not met:
        raise NotMeasured(f"the memory did not change between any two of {programs * WRITES} writes of {register.name}")


@pytest.mark.clause("RACE-5")
def test_value_and_id(
    register: Register, registers: tuple[Register, ...], make_vm: MakeVm, renew_deadline: Callable[[], float]
) -> None:
    """The value that KVM checks is the one that it stores, in the register for which it was checked."""
    vm, held = make_vm(), next(v for v in register.subsets() if v != register.reset)
    vm.vcpu.set_reg(register, held)
    enough = chances(READ_ONCE, len(registers))
    for flip in _flips(register, registers, held):
        _race(vm, register, flip, held, enough, renew_deadline)


@pytest.mark.clause("RACE-5", "LOCK-1")
def test_locked_value(
    register: Register, registers: tuple[Register, ...], make_vm: MakeVm, renew_deadline: Callable[[], float]
) -> None:
    """The value that KVM compares with the locked one is the one that it stores."""
    vm = make_vm()
    held = vm.vcpu.get_reg(register)
    vm.vcpu.immediate_exit()
    other = next(v for v in register.subsets() if v != held)
    flip = Flip("its locked value and another one", (held, other), (0, EBUSY))
    _race(vm, register, flip, held, chances(READ_ONCE, len(registers)), renew_deadline)
