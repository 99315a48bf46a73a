# SPDX-License-Identifier: GPL-2.0-only
"""On a machine with few processors, xdist's workers wait while one of them runs the tests with the mark ``alone``.

Such a test needs two processors in the kernel under test. If another worker uses them, both take several times as long.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

ENOUGH = 4
"""Processors with which the workers do not wait."""
_FILE = pytest.StashKey[Path]()
_TURNS = pytest.StashKey["Turns"]()
_INPUT = "hvc_turns"


class Turns:
    """A lock on a file that all workers of a session share. The kernel releases it if the worker ends.

    It is held during a test only: a worker may wait for its next tests until the other ones have ended.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Waits while a test of another worker is alone. If ``alone``, no test of another worker begins meanwhile."""
        fcntl.flock(self._fd, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            # A test of another worker that runs already is short, so a test that is alone does not wait for it.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)


def pytest_configure(config: pytest.Config) -> None:
    """Opens the session's file in a worker."""
    config.addinivalue_line("markers", "alone: the test needs two processors")
    path = getattr(config, "workerinput", {}).get(_INPUT)
    if path:
        config.stash[_TURNS] = Turns(Path(path))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Creates the session's file before the first worker starts."""
    if len(os.sched_getaffinity(0)) >= ENOUGH:
        return
    if _FILE not in node.config.stash:
        fd, path = tempfile.mkstemp(prefix="kvm-hvc-turns-")
        os.close(fd)
        node.config.stash[_FILE] = Path(path)
    node.workerinput[_INPUT] = str(node.config.stash[_FILE])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the session's file."""
    if _FILE in config.stash:
        config.stash[_FILE].unlink(missing_ok=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Waits outside of the test, whose timeout has not begun."""
    turns = item.config.stash.get(_TURNS, None)
    alone = item.get_closest_marker("alone") is not None
    with turns.turn(alone=alone) if turns is not None else nullcontext():
        return (yield)
