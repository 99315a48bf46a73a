# SPDX-License-Identifier: GPL-2.0-only
"""On a machine with few processors, xdist's workers wait while one of them runs the tests with the mark ``alone``.

Such a test needs two processors in the kernel under test. If another worker uses them, both take several times as long.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

ENOUGH = 4
"""Processors with which the workers do not wait."""
_FILE = pytest.StashKey[Path]()
_TURNS = pytest.StashKey["Turns"]()
_INPUT = "hvc_turns"


class Turns:
    """A lock on a file that all workers of a session share. The kernel releases it if the worker ends."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._alone = False

    def begin(self, *, alone: bool) -> None:
        """Before a test. Waits as long as another worker is alone, and, if ``alone``, keeps the others waiting."""
        if alone and not self._alone:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        elif not alone:
            # A test of another worker that runs already is short.
            fcntl.flock(self._fd, fcntl.LOCK_UN if self._alone else fcntl.LOCK_SH)
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._alone = alone


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
    if turns is not None:
        turns.begin(alone=item.get_closest_marker("alone") is not None)
    return (yield)
