# SPDX-License-Identifier: GPL-2.0-only
"""A race is staged anew, in other ways, until a run falls among the writes; without one it is not measured."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.linearizability import EventKind, HistoryEvent
from helpers.contract.registers import MAINLINE, Register
from helpers.errors import NotMeasured
from helpers.placement import Placement
from helpers.smccc import NOT_SUPPORTED
from suites.concurrency import test_beside as beside
from suites.concurrency import test_first_run as first_run
from suites.concurrency import test_inside_the_guest as inside
from suites.concurrency.changes import FEWEST, MOST, more_changes, share_a_core, switches
from suites.concurrency.rounds import CallPace, Race, Round
from suites.concurrency.sample import DETECTION, LOCK_LATE, MARGIN, chances
from suites.hypercalls import test_stolen_time as stolen_time

STD = MAINLINE.registers[0]
PROBE = Probe(MAINLINE, MAINLINE.registers, (), (0, 0), True, True, True, True, "7.2")


def one_round(values: Sequence[int], landed: int | None, delay: int) -> Round:
    """The run comes before the write number ``landed``; after all of them if that is None."""
    sets, current = [], STD.reset
    for number, value in enumerate(values):
        locked = landed is not None and number >= landed and value != current
        sets.append(HistoryEvent(EventKind.SET, value, errno.EBUSY if locked else 0))
        current = current if locked else value
    seen = [HistoryEvent(EventKind.GET, current), HistoryEvent(EventKind.SEEN, current)]
    return Round(((HistoryEvent(EventKind.RUN), *seen), tuple(sets)), current, delay)


class Rounds:
    """Replaces run_rounds: a run falls among the writes from the round number ``lands`` on, and with ``writes``."""

    def __init__(self, *, lands: int, writes: int = 0, seconds: float = 0.0) -> None:
        self.lands, self.writes, self.seconds = lands, writes, seconds
        self.trips: list[tuple[int, int, bool]] = []
        self.now = 0.0

    def __call__(self, kvm: object, race: Race, delays: Sequence[int], *, together: bool) -> list[Round]:
        before, writes = sum(each[0] for each in self.trips), len(race.writers[0])
        self.trips.append((len(delays), writes, together))
        self.now += self.seconds * len(delays)
        late = before < self.lands or writes < self.writes
        return [one_round(race.writers[0], None if late else writes // 2, delay) for delay in delays]


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the test of the guest's view with these rounds, on so many cores."""

    def run(rounds: Rounds, cores: int = 1) -> Rounds:
        monkeypatch.setattr(first_run, "run_rounds", rounds)
        monkeypatch.setattr(time, "monotonic", lambda: rounds.now)
        numbers = tuple(range(cores))
        kvm: Any = SimpleNamespace(placement=Placement(numbers, numbers, {}))
        first_run.test_guest_sees_the_last_write(STD, PROBE, kvm, first_run.Limits(lambda: 20.0, 1600, 1))
        return rounds

    return run


def test_a_run_among_the_writes_needs_no_more_rounds(race: Any) -> None:
    trips = race(Rounds(lands=0, seconds=0.001)).trips
    assert 0 <= sum(count for count, _, _ in trips) - chances(LOCK_LATE) < first_run.FEWEST_ROUNDS
    assert {(writes, together) for _, writes, together in trips} == {(first_run.WRITES, True)}


def test_more_rounds(race: Any) -> None:
    assert sum(count for count, _, _ in race(Rounds(lands=600, seconds=0.001)).trips) > 600


def test_more_writes(race: Any) -> None:
    assert race(Rounds(lands=0, writes=32, seconds=0.001)).trips[-1][1] == 32


def test_on_several_cores_and_on_one(race: Any) -> None:
    assert [together for _, _, together in race(Rounds(lands=0, seconds=0.001), cores=4).trips][:2] == [False, True]


def test_a_slow_kernel_gets_fewer_rounds_at_once(race: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "LOCK_LATE", 0.01)
    # Each takes 0.3 s: one round trip must not come near the test's timeout of 20 s.
    assert [count for count, _, _ in race(Rounds(lands=0, seconds=0.3)).trips] == [25, 12, 23]


def test_runs_fall_among_the_writes_often_enough_in_each_arrangement(race: Any) -> None:
    trips = race(Rounds(lands=0, seconds=0.001), cores=4).trips
    for arrangement in (False, True):
        assert sum(count for count, _, together in trips if together is arrangement) >= chances(LOCK_LATE)


@pytest.mark.parametrize(("rate", "tests"), [(0.5, 1), (0.1, 3), (0.001, 1)])
def test_the_sample_detects_a_race_of_that_rate(rate: float, tests: int) -> None:
    enough = chances(rate, tests) * tests
    assert 1 - (1 - rate / MARGIN) ** enough >= DETECTION > 1 - (1 - rate / MARGIN) ** (enough - tests - 1)


@pytest.mark.parametrize("late", [-40, -3, 0, 9, 40])
def test_the_pace_in_calls_goes_to_the_middle_of_the_writes(late: int) -> None:
    """A run that takes as long as ``late`` writes."""
    pace, writes = CallPace(), (0, 1) * 8
    for _ in range(8):
        at = {delay: delay + late for delay in pace.delays(16)}
        pace.learn(
            [one_round(writes, n if n < 16 else None, delay) for delay, n in ((d, max(0, n)) for d, n in at.items())]
        )
    assert all(0 < n < 16 for n in at.values())


@pytest.mark.parametrize(("met", "programs"), [(4, [10]), (1, [10, 40, 160]), (0, [10, 40, 160, 160])])
def test_writers_and_a_reader_need_one_round_that_overlaps(
    met: int, programs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``met`` is the number of such rounds in the program with the most writes, or in the first one."""
    busy_writes: list[int] = []

    def writers(register: Register, vm: object, busy: int, *, together: bool) -> Any:
        busy_writes.append(busy)
        return SimpleNamespace(check=lambda before: (before, met if busy == programs[-1] else 0))

    monkeypatch.setattr(beside, "_Writers", writers)
    monkeypatch.setattr(time, "monotonic", lambda: 6.0 * len(busy_writes))
    vm = SimpleNamespace(kvm=SimpleNamespace(placement=Placement((0,), (0,), {})))
    with nullcontext() if met else pytest.raises(NotMeasured, match="during 160 writes of STD"):
        beside.test_writers_and_a_reader(STD, lambda _: vm, lambda: 20.0)  # type: ignore[arg-type,return-value]
    assert busy_writes == programs


def test_switches_and_more_changes() -> None:
    assert switches([0, 0, 22, 22, 0]) == 2 and switches([]) == 0
    assert more_changes(FEWEST, met=1, calls=400) == 2 * FEWEST and more_changes(FEWEST, met=50, calls=400) == FEWEST
    assert more_changes(MOST, met=0, calls=400) == MOST


def test_threads_that_never_met_share_a_core() -> None:
    several: Any = SimpleNamespace(placement=Placement((0, 1), (0, 1), {}))
    assert [share_a_core(several, 0, programs, 6) for programs in range(6)] == [False] * 3 + [True] * 3
    assert not share_a_core(several, 1, 5, 6)


class BesideABusyThread:
    """Replaces the program of the stolen time: a vCPU that waits only in a program of at least ``enough`` runs."""

    def __init__(self, enough: int) -> None:
        self.enough, self.programs = enough, list[int]()

    def __call__(self, vm: object, runs: int, *, restored: bool) -> Any:
        self.programs.append(runs)
        waited = 100 if runs >= self.enough else 0
        return SimpleNamespace(measured=lambda: SimpleNamespace(least=waited, stolen=waited, most=waited))


@pytest.mark.parametrize(("enough", "programs"), [(0, [40]), (500, [40, 160, 640]), (10**9, [40, 160, 640, 2560])])
def test_stolen_time_needs_time_that_was_stolen(
    enough: int, programs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = BesideABusyThread(enough)
    make_vm: Any = lambda vcpus: SimpleNamespace()  # noqa: E731
    monkeypatch.setattr(stolen_time, "_Beside", beside)
    monkeypatch.setattr(stolen_time, "set_pv_time", lambda vm, ipa, place: None)
    with nullcontext() if enough < 10**9 else pytest.raises(NotMeasured, match="did not wait in 2560 runs"):
        stolen_time.test_time_that_others_take(False, make_vm, lambda: 20.0)
    assert beside.programs == programs


def test_no_run_among_the_writes_is_not_measured(race: Any) -> None:
    rounds = Rounds(lands=10**9, seconds=0.01)
    with pytest.raises(NotMeasured, match=r"in none of \d{4} rounds did KVM_RUN fall among the writes of STD"):
        race(rounds)
    assert 20 <= rounds.now < 21


class Visits:
    """Replaces the stays in a guest: the thread of the read comes to make its call in the visit number ``made``."""

    def __init__(self, made: int) -> None:
        self.made, self.pauses = made, list[int]()

    def __call__(self, vm: object, register: object, pause_ms: int) -> Any:
        self.pauses.append(pause_ms)
        made = len(self.pauses) >= self.made
        answers = [inside._Result(0, at_once=False, made=made), inside._Result(errno.EBUSY, at_once=False, made=True)]
        return SimpleNamespace(target=None, setter=lambda value: None, results=lambda calls: answers)


@pytest.mark.parametrize(("made", "pauses"), [(1, 1), (2, 2), (6, 5)])
def test_a_call_that_no_thread_made_has_no_answer(made: int, pauses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = Visits(made)
    monkeypatch.setattr(inside, "_Visit", visits)
    monkeypatch.setattr(inside, "_spinning", lambda vm: vm)
    monkeypatch.setattr(inside, "_target", lambda vm: STD.reset)
    make_vm: Any = lambda vcpus: SimpleNamespace(vcpu=SimpleNamespace(fd=3))  # noqa: E731
    with nullcontext() if made < 6 else pytest.raises(NotMeasured, match="did not run within 2000 ms"):
        inside.test_the_same_vcpu_waits(STD, make_vm, iter(inside.PAUSES_MS))
    assert visits.pauses == list(inside.PAUSES_MS[:pauses])


VENDOR = MAINLINE.registers[2]


@pytest.mark.parametrize(
    ("register", "shown"),
    [
        (STD, True),
        (VENDOR, True),
        (replace(STD, unknown=2, reset=3), False),
        (replace(VENDOR, unknown=4, reset=7), False),
        (replace(STD, bits=(*STD.bits, (1, "NEW")), reset=3), False),
        (replace(VENDOR, bits=(*VENDOR.bits, (2, "NEW")), reset=7), True),
    ],
)
def test_a_guest_shows_only_bits_that_an_answer_shows(register: Register, shown: bool) -> None:
    view = first_run._view(register, MAINLINE)
    assert (view is not None) is shown
    values = first_run._values(register, first=0, count=16)
    assert all(a != b for a, b in pairwise(values)) and values[0] != register.reset
    for value in values if register.name == VENDOR.name else ():
        assert view is None or view.value((value if value & 1 else NOT_SUPPORTED, 0, 0, 0)) == value


@pytest.mark.parametrize(("seconds", "times", "notes"), [(0.01, 18, 0), (4.0, 3, 1), (30.0, 1, 1)])
def test_reads_of_a_slow_host(seconds: float, times: int, notes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round trips of 500 reads: all that are needed, or those of half of the timeout (20 s). A note has the number."""
    now, calls, written = [0.0], list[object](), list[str]()

    def compare(comparison: Comparison, vm: object, register: object) -> None:
        comparison.value("a read", 1, 1)
        now[0] += seconds
        calls.append(register)

    monkeypatch.setattr(beside, "_compare_reads", compare)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    register, vm = MAINLINE.registers[0], Mock()
    beside.test_same_value(register, MAINLINE.registers[:3], lambda count: vm, lambda: 20.0, written.append)
    assert (len(calls), len(written)) == (times, notes)
