# SPDX-License-Identifier: GPL-2.0-only
"""Progress lines: the current step and its elapsed time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

_QUIET_SECONDS = 15.0
"""Interval of the lines if there is no terminal."""


class Progress:
    """Writes to a duplicate of ``fd``, which pytest does not capture."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = os.dup(fd)
        self._terminal = os.isatty(self._fd)

    def line(self, text: str) -> None:
        """Writes one line."""
        self._write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")

    @contextlib.contextmanager
    def steps(self) -> Iterator[Callable[[str], None]]:
        """A function that begins the next step: it writes a line, and then the elapsed time."""
        with contextlib.ExitStack() as step:

            def begin(text: str) -> None:
                step.close()
                self.line(text)
                step.enter_context(self.waiting(text, shown=True))

            yield begin

    @contextlib.contextmanager
    def waiting(self, text: str, *, shown: bool = False) -> Iterator[None]:
        """Writes the elapsed time while the block runs, on a terminal every second, else every _QUIET_SECONDS.

        On a terminal, first writes the text, unless it is ``shown``.
        """
        done = threading.Event()
        thread = threading.Thread(target=self._write_time, args=(text, shown, time.monotonic(), done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if self._terminal:
                self._write("\r\x1b[K")

    def _write_time(self, text: str, shown: bool, since: float, done: threading.Event) -> None:
        if self._terminal and not shown:
            self._write(f"\r\x1b[K{text} ...")
        while not done.wait(1.0 if self._terminal else _QUIET_SECONDS):
            seconds = f"{text}: {time.monotonic() - since:.0f} s"
            self._write(f"\r\x1b[K{seconds}" if self._terminal else f"{seconds}\n")

    def _write(self, text: str) -> None:
        # The terminal may be closed.
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
