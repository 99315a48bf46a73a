# SPDX-License-Identifier: GPL-2.0-only
"""No test begins while a test of another worker is alone, and nobody waits for a worker without a test."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from helpers.plugin.turns import Turns

LONG, SHORT = 20.0, 0.2
"""Seconds: within which a worker goes on, and which it waits at least."""


def work(path: Path, orders: Connection) -> None:
    turns, test = Turns(path), ExitStack()
    while True:
        order = orders.recv()
        test.close()
        if order != "end":
            test.enter_context(turns.turn(alone=order == "alone"))
        orders.send("done")


class Worker:
    def __init__(self, path: Path) -> None:
        self.orders, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(path, theirs), daemon=True)
        self.process.start()

    def order(self, what: str) -> None:
        """Ends the worker's test and begins another one, or none."""
        self.orders.send(what)

    @property
    def waits(self) -> bool:
        return not self.orders.poll(SHORT)

    def goes_on(self) -> None:
        assert self.orders.poll(LONG)
        assert self.orders.recv() == "done"

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
        each.process.kill()


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
