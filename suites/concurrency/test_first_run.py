# SPDX-License-Identifier: GPL-2.0-only
"""Writes that are concurrent with a VM's first KVM_RUN, in a fresh VM for each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.linearizability import one_order, show_history
from helpers.contract.registers import RFC_V3, STD, STD_HYP, VENDOR_HYP, Dialect, Register
from helpers.errors import NotMeasured
from helpers.kvm import Kvm
from helpers.smccc import Call
from suites.concurrency.rounds import CallPace, Pace, Race, RegisterView, Round, apart, run_rounds
from suites.concurrency.sample import CROWD, LOCK_DROPPED, LOCK_LATE, NO_LOCK, WIDE_MARGIN, chances
from suites.support.threads import arrangements

Renew = Callable[[], float]
RaceOf = Callable[[int], Race]
"""A race, given the number of each writer's writes."""

FEWEST_ROUNDS, FIRST_ROUNDS, ROUNDS_AT_ONCE = 5, 25, 100
"""The fewest rounds of a later round trip, the rounds of the first one, and the most rounds of a later one."""
SHARE_OF_TIMEOUT = 0.25
"""A round trip that takes longer than this share of the test's timeout is followed by one of half as many rounds."""
WRITES, MOST_WRITES = 16, 64
"""Writes of one writer in one round: enough for the run to fall among them in spite of the timer's jitter.

MOST_WRITES is the sum over all writers. The time to search for an order grows with a power of the number of writes.
"""
GUEST_ROUNDS, CROWD_ROUNDS = 60, 40
"""The most rounds of the tests whose rounds take longer."""


def _view(register: Register, dialect: Dialect) -> RegisterView | None:
    """A call whose answer differs for each value in ``_values``; None if no answer shows every bit of the register."""
    if register.unknown or (register.name in (STD, STD_HYP) and register.mask != 1):
        return None
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
    """A writer's values. Each differs from the one before it, and the first from the reset value: each is a change."""
    # Without FUNC_FEAT the guest cannot read the other vendor bits.
    all_values = [v for v in register.subsets() if not v or v & 1 or register.name != VENDOR_HYP]
    start = (all_values.index(register.reset) + 1 + first) % len(all_values)
    return tuple(all_values[(start + i) % len(all_values)] for i in range(count))


@dataclass(frozen=True)
class Limits:
    """``renew`` restarts the test's timeout. ``rounds`` is the maximum. ``tests`` is the number of tests of a race."""

    renew: Renew
    rounds: int
    tests: int


@dataclass
class _Staging:
    """How the next rounds are staged, adapted to the last ones. ``pace`` has a key for each of arrangements()."""

    kvm: Kvm
    race: RaceOf
    renew: Renew
    """Restarts the test's timeout; returns it in seconds."""
    writes: int
    pace: dict[bool, Pace]
    missing: dict[bool, int]
    """For each arrangement, how often a run must still fall among the writes."""
    at_once: int = FIRST_ROUNDS
    landed: int = 0

    def rounds(self, most: int, *, together: bool) -> list[Round]:
        """At most ``most`` rounds, in one round trip."""
        # The timeout applies to one round trip, so that a hang is detected for any number of rounds.
        seconds = self.renew()
        began, race, pace = time.monotonic(), self.race(self.writes), self.pace[together]
        rounds = run_rounds(self.kvm, race, pace.delays(min(self.at_once, most)), together=together)
        pace.learn(rounds)
        landed = sum(r.landed not in (0, None) for r in rounds)
        self.landed += landed
        self.missing[together] -= landed
        if not landed and 2 * self.writes * len(race.writers) <= MOST_WRITES:
            self.writes *= 2
        if time.monotonic() - began > seconds * SHARE_OF_TIMEOUT:
            self.at_once = max(FEWEST_ROUNDS, len(rounds) // 2)
        else:
            self.at_once = min(ROUNDS_AT_ONCE, 2 * self.at_once)
        return rounds


def _rounds(staging: _Staging, most: int) -> Iterator[Round]:
    """At most ``most`` rounds, until none is missing. If no run fell among the writes, more until the timeout."""
    until, number = time.monotonic() + staging.renew(), 0
    for turn in count():
        waiting = [each for each, missing in staging.missing.items() if missing > 0]
        if not waiting or (number >= most and (staging.landed or time.monotonic() >= until)):
            return
        together = waiting[turn % len(waiting)]
        left = most - number if number < most else ROUNDS_AT_ONCE
        rounds = staging.rounds(min(left, max(FEWEST_ROUNDS, staging.missing[together])), together=together)
        number += len(rounds)
        yield from rounds


def _staging(kvm: Kvm, race: RaceOf, writes: int, limits: Limits, landed: Callable[[bool], int]) -> _Staging:
    """``landed`` is how often a run must fall among the writes, for threads on one core (True) and on several."""
    chosen = arrangements(kvm)
    pace = {each: CallPace() if apart(kvm, race(writes), together=each) else Pace() for each in chosen}
    missing = {each: landed(each) for each in chosen}
    return _Staging(kvm, race, limits.renew, writes, pace, missing)


def _check(staging: _Staging, most: int) -> None:
    register, comparison, number = staging.race(staging.writes).register, Comparison(), 0
    for number, one in enumerate(_rounds(staging, most), start=1):
        comparison.that(
            one_order(one.threads, one.final, reset=register.reset, mask=register.mask),
            f"round {number} of {register.name} (reset value {register.reset:#x})",
            "answers that agree with one order of these calls",
            show_history(one.threads, one.final),
        )
    comparison.done()
    if not staging.landed:
        raise NotMeasured(f"in none of {number} rounds did KVM_RUN fall among the writes of {register.name}")


@pytest.fixture
def limits(renew_deadline: Renew, registers: tuple[Register, ...], pytestconfig: pytest.Config) -> Limits:
    """The limits from --race-rounds and the number of registers."""
    return Limits(renew_deadline, pytestconfig.getoption("--race-rounds"), len(registers))


@pytest.mark.clause("RACE-1")
def test_one_writer(register: Register, kvm: Kvm, limits: Limits) -> None:
    """One writer, and a KVM_RUN that returns before the guest runs. The value that is read after it does not change."""

    def race(writes: int) -> Race:
        return Race(register, (_values(register, first=0, count=writes),))

    def landed(together: bool) -> int:
        if together:
            return chances(LOCK_DROPPED, limits.tests)
        return chances(NO_LOCK, limits.tests, margin=WIDE_MARGIN)

    _check(_staging(kvm, race, WRITES, limits, landed), limits.rounds)


@pytest.mark.clause("RACE-1")
def test_guest_sees_the_last_write(register: Register, contract: Probe, kvm: Kvm, limits: Limits) -> None:
    """The guest's answer, the final value and the writes' results agree."""
    view = _view(register, contract.dialect)

    def race(writes: int) -> Race:
        return Race(register, (_values(register, first=0, count=writes),), view=view)

    staging = _staging(kvm, race, WRITES, limits, lambda together: chances(LOCK_LATE, limits.tests))
    _check(staging, min(GUEST_ROUNDS, limits.rounds))


@pytest.mark.clause("RACE-1")
def test_many_writers_and_runners(register: Register, contract: Probe, kvm: Kvm, limits: Limits) -> None:
    """Three vCPUs write while three others run."""
    view = _view(register, contract.dialect)

    def race(writes: int) -> Race:
        return Race(register, tuple(_values(register, first=i, count=writes) for i in range(3)), runners=3, view=view)

    staging = _staging(kvm, race, WRITES // 4, limits, lambda together: chances(CROWD, limits.tests))
    _check(staging, min(CROWD_ROUNDS, limits.rounds))
