# SPDX-License-Identifier: GPL-2.0-only
"""Turns of the processes that test at the same time on one machine.

A race needs two processors in the kernel under test. If another process uses them, both take several times as long.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol


class Turns(Protocol):
    """When a process may run a program."""

    def turn(self, *, alone: bool) -> AbstractContextManager[float]:
        """Waits for the turn of a program, which runs inside the block. The value is how long it waited, in seconds."""


class NoTurns:
    """Nobody waits."""

    def turn(self, *, alone: bool) -> AbstractContextManager[float]:
        return nullcontext(0.0)


class SharedTurns:
    """Locks on two files, which all processes of a session share. The kernel releases them if a process ends."""

    def __init__(self, folder: Path) -> None:
        """Creates the files in ``folder`` if they do not exist."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._door, self._inside = (os.open(folder / name, flags, 0o600) for name in ("door", "inside"))
        self.waited = 0.0
        """The seconds that all turns of this process waited."""
        self.shared_only = False
        """Whether no program of this process runs alone, for races too short to need it."""

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[float]:
        """While a program runs alone, or waits for that, no other one begins. Before it begins, the others end."""
        alone = alone and not self.shared_only
        began, how = time.monotonic(), fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(self._door, how)
            fcntl.flock(self._inside, how)
            if not alone:
                fcntl.flock(self._door, fcntl.LOCK_UN)
            waited = time.monotonic() - began
            self.waited += waited
            yield waited
        finally:
            fcntl.flock(self._inside, fcntl.LOCK_UN)
            fcntl.flock(self._door, fcntl.LOCK_UN)
