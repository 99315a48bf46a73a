# SPDX-License-Identifier: GPL-2.0-only
"""Nothing else runs while a program is alone, and nobody waits for a worker without a program."""

from __future__ import annotations

import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.plugin.choices import TURNS, TURNS_INPUT
from helpers.plugin.session import _turns
from helpers.plugin.turns import pytest_runtest_makereport
from helpers.subjects.turns import SharedTurns
from tests.support import ROOT

LONG, SHORT = 20.0, 0.2
"""Seconds: within which a worker goes on, and which it waits at least."""
WORK = """
import contextlib, pathlib, sys
from helpers.subjects.turns import SharedTurns
turns, program = SharedTurns(pathlib.Path(sys.argv[1])), contextlib.ExitStack()
for order in map(str.strip, sys.stdin):
    program.close()
    if order != "end":
        turns.shared_only = order == "short race"
        program.enter_context(turns.turn(alone=order in ("alone", "short race")))
    print("done", flush=True)
"""


class Worker:
    # multiprocessing would leave a child for the other tests of this process: its resource tracker.
    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", WORK, str(path)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdin and self.process.stdout
        self._orders, self._answers = self.process.stdin, self.process.stdout

    def order(self, what: str) -> None:
        """Ends the worker's program and begins another one, or none."""
        self._orders.write(f"{what}\n".encode())

    def answers(self, seconds: float) -> bool:
        return bool(select.select([self._answers], [], [], seconds)[0])

    @property
    def waits(self) -> bool:
        return not self.answers(SHORT)

    def goes_on(self) -> None:
        assert self.answers(LONG)
        assert self._answers.readline() == b"done\n"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def does(self, what: str) -> None:
        self.order(what)
        self.goes_on()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[Worker, Worker, Worker]]:
    each = Worker(tmp_path), Worker(tmp_path), Worker(tmp_path)
    yield each
    for worker in each:
        worker.end()


@pytest.mark.parametrize("waiting", ["ordinary", "alone"])
def test_others_wait_for_the_end_of_a_program_that_is_alone(
    waiting: str, workers: tuple[Worker, Worker, Worker]
) -> None:
    one, two, _ = workers
    one.does("alone")
    two.order(waiting)
    assert two.waits
    one.does("end")
    two.goes_on()


def test_it_begins_after_all_others_have_ended(workers: tuple[Worker, Worker, Worker]) -> None:
    one, two, three = workers
    one.does("ordinary")
    two.does("ordinary")
    three.order("alone")
    assert three.waits
    one.order("ordinary")
    assert one.waits
    two.does("end")
    three.goes_on()
    assert one.waits
    three.does("end")
    one.goes_on()


def test_a_short_race_begins_beside_others(workers: tuple[Worker, Worker, Worker]) -> None:
    one, two, three = workers
    one.does("ordinary")
    two.does("short race")
    three.does("ordinary")


def test_a_worker_that_is_killed_is_not_waited_for(workers: tuple[Worker, Worker, Worker]) -> None:
    one, two, _ = workers
    one.does("alone")
    two.order("ordinary")
    assert two.waits
    one.process.kill()
    two.goes_on()


def test_the_time_for_which_it_waited(tmp_path: Path) -> None:
    other, turns = Worker(tmp_path), SharedTurns(tmp_path)
    try:
        other.does("alone")
        threading.Timer(SHORT, other.process.kill).start()
        with turns.turn(alone=False) as waited:
            assert turns.waited == waited >= SHORT / 2
    finally:
        other.end()


def test_durations_are_without_it(tmp_path: Path) -> None:
    stash, report = pytest.Stash(), SimpleNamespace(duration=3.0)
    turns = stash[TURNS] = SharedTurns(tmp_path)
    item: Any = SimpleNamespace(config=SimpleNamespace(stash=stash))
    for waited, duration in ((2.0, 1.0), (0.0, 1.0), (5.0, 0.0)):
        turns.waited = waited
        hook = pytest_runtest_makereport(item)
        next(hook)
        with pytest.raises(StopIteration):
            hook.send(report)
        assert report.duration == duration and turns.waited == 0.0


def test_a_worker_ends_silently_after_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr("os._exit", end)
    config: Any = SimpleNamespace(workerinput={TURNS_INPUT: str(tmp_path / "gone")})
    with pytest.raises(SystemExit, match="3"):
        _turns(config)
