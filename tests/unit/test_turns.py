# SPDX-License-Identifier: GPL-2.0-only
"""Workers wait while another one is alone, and go on when it leaves or ends."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from helpers.plugin.turns import Turns

LONG, SHORT = 20.0, 0.2
"""Seconds: within which a worker goes on, and which it waits at least."""


def work(path: Path, orders: Connection) -> None:
    turns = Turns(path)
    while (order := orders.recv()) is not None:
        turns.begin(alone=order == "alone")
        orders.send("began")


class Worker:
    def __init__(self, path: Path) -> None:
        self.orders, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(path, theirs), daemon=True)
        self.process.start()

    def order(self, kind: str, *, waits: bool = False) -> None:
        self.orders.send(kind)
        assert self.orders.poll(SHORT if waits else LONG) != waits

    def goes_on(self) -> None:
        assert self.orders.poll(LONG)
        assert self.orders.recv() == "began"


def test_turns(tmp_path: Path) -> None:
    path = tmp_path / "turns"
    path.touch()
    one, two = Worker(path), Worker(path)
    for worker in (one, two):
        worker.order("ordinary")
        worker.goes_on()
    one.order("alone")
    one.goes_on()
    two.order("ordinary", waits=True)
    one.order("alone")
    one.goes_on()
    assert not two.orders.poll(SHORT)
    one.order("ordinary")
    one.goes_on()
    two.goes_on()
    two.order("alone")
    two.goes_on()
    one.order("alone", waits=True)
    two.process.kill()
    one.goes_on()
    one.process.kill()
