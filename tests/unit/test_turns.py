# SPDX-License-Identifier: GPL-2.0-only
"""No test begins while a test of another worker is alone, and nobody waits for a worker without a test."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

LONG, SHORT = 20.0, 0.2
"""Seconds: within which a worker goes on, and which it waits at least."""
WORK = """
import contextlib, pathlib, sys
from helpers.plugin.turns import Turns
turns, test = Turns(pathlib.Path(sys.argv[1])), contextlib.ExitStack()
for order in map(str.strip, sys.stdin):
    test.close()
    if order != "end":
        test.enter_context(turns.turn(alone=order == "alone"))
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
        """Ends the worker's test and begins another one, or none."""
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
def workers(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    path = tmp_path / "turns"
    path.touch()
    one, two = Worker(path), Worker(path)
    yield one, two
    for each in (one, two):
        each.end()


@pytest.mark.parametrize("waiting", ["ordinary", "alone"])
def test_a_test_waits_for_the_end_of_one_that_is_alone(waiting: str, workers: tuple[Worker, Worker]) -> None:
    one, two = workers
    one.does("ordinary")
    two.does("ordinary")
    one.does("alone")
    two.order(waiting)
    assert two.waits
    one.does("end")
    two.goes_on()


def test_a_worker_that_is_killed_is_not_waited_for(workers: tuple[Worker, Worker]) -> None:
    one, two = workers
    one.does("alone")
    two.order("ordinary")
    assert two.waits
    one.process.kill()
    two.goes_on()
