# SPDX-License-Identifier: GPL-2.0-only
"""Writes beside the VM's first KVM_RUN, in a fresh VM each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.linearizability import one_order, show_history
from helpers.contract.registers import RFC_V3, STD, STD_HYP, VENDOR_HYP, Dialect, Register
from helpers.errors import HarnessError
from helpers.kvm import Kvm
from helpers.smccc import Call
from suites.concurrency.rounds import Pace, Race, RegisterView, Round, run_rounds

ROUNDS_AT_ONCE = 100
WRITES = 8
"""Writes of one writer in one round: enough for the run to fall among them in spite of the timer's jitter."""
CROWD_ROUNDS, GUEST_ROUNDS = 60, 100


def _view(register: Register, dialect: Dialect) -> RegisterView:
    """A call whose answer differs for each value in ``_values``."""
    if register.name == STD:
        return RegisterView(Call(0x84000050), lambda x: int(x[0] == 0x10000))
    if register.name == STD_HYP:
        return RegisterView(Call(0x80000001, (0xC5000020,)), lambda x: int(x[0] == 0))
    if dialect is RFC_V3:
        return RegisterView(Call(0x86000000), lambda x: x[0] >> 1)
    if register.name == VENDOR_HYP:
        return RegisterView(Call(0x86000000), lambda x: 0 if x[0] >> 63 else x[0])
    return RegisterView(Call(0x86000000), lambda x: x[2])


def _values(register: Register, *, first: int, count: int) -> tuple[int, ...]:
    """A writer's values: neighbours differ, and the first is not the default, so that each write is a change."""
    # Without FUNC_FEAT the guest cannot read the other vendor bit.
    all_values = [v for v in register.subsets() if v != 2 or register.name != VENDOR_HYP]
    start = (all_values.index(register.reset) + 1 + first) % len(all_values)
    return tuple(all_values[(start + i) % len(all_values)] for i in range(count))


def _rounds(kvm: Kvm, race: Race, count: int, seconds: float | None) -> Iterator[Round]:
    pace = Pace()
    for at in range(0, count, ROUNDS_AT_ONCE):
        # The timeout applies to one round trip, so that a hang is detected for any number of rounds.
        kvm.subject.begin_test(seconds)
        rounds = run_rounds(kvm, race, pace.delays(min(ROUNDS_AT_ONCE, count - at)))
        pace.learn(rounds)
        yield from rounds


def _check(kvm: Kvm, race: Race, count: int, seconds: float | None) -> None:
    register, comparison, landed = race.register, Comparison(), set()
    for number, one in enumerate(_rounds(kvm, race, count, seconds)):
        landed.add(one.landed)
        comparison.that(
            one_order(one.threads, one.final, reset=register.reset, mask=register.mask),
            f"round {number} of {register.name} (default {register.reset:#x})",
            "answers that some order of these calls explains",
            show_history(one.threads, one.final),
        )
    comparison.done()
    if landed <= {0, None}:
        raise HarnessError(
            f"The race for {register.name} did not take place",
            why=f"in none of {count} rounds did KVM_RUN fall among the writes",
            cure="Run again on a machine with less to do, or with a larger --race-rounds",
        )


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float | None:
    """Timeout of one round trip, or None for the default."""
    chosen: float | None = pytestconfig.getoption("--test-deadline")
    return chosen


@pytest.mark.clause("RACE-1")
def test_one_writer(register: Register, kvm: Kvm, seconds: float | None, pytestconfig: pytest.Config) -> None:
    """Thousands of rounds of one writer and a run that ends before the guest. The runner's value stays."""
    race = Race(register, (_values(register, first=0, count=WRITES),))
    _check(kvm, race, pytestconfig.getoption("--race-rounds"), seconds)


@pytest.mark.clause("RACE-1")
def test_guest_sees_the_last_write(register: Register, contract: Probe, kvm: Kvm, seconds: float | None) -> None:
    """The guest's answer, the final value and the writes' results agree."""
    race = Race(register, (_values(register, first=0, count=WRITES),), view=_view(register, contract.dialect))
    _check(kvm, race, GUEST_ROUNDS, seconds)


@pytest.mark.clause("RACE-1")
def test_many_writers_and_runners(register: Register, contract: Probe, kvm: Kvm, seconds: float | None) -> None:
    """Three vCPUs write, three run."""
    writers = tuple(_values(register, first=i, count=WRITES // 2) for i in range(3))
    _check(kvm, Race(register, writers, runners=3, view=_view(register, contract.dialect)), CROWD_ROUNDS, seconds)
