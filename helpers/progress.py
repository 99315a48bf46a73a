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
        if self._terminal and not shown:
            self._write(f"\r\x1b[K{text} ...")
        with self.renewing(lambda seconds: f"{text}: {seconds:.0f} s"):
            yield

    @contextlib.contextmanager
    def renewing(self, describe: Callable[[float], str]) -> Iterator[None]:
        """Writes ``describe(elapsed seconds)`` while the block runs, as ``waiting`` does.

        On a terminal it is one line, cut to the terminal's width.
        """
        done = threading.Event()
        thread = threading.Thread(target=self._renew, args=(describe, time.monotonic(), done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if self._terminal:
                self._write("\r\x1b[K")

    def _renew(self, describe: Callable[[float], str], since: float, done: threading.Event) -> None:
        while not done.wait(1.0 if self._terminal else _QUIET_SECONDS):
            line = describe(time.monotonic() - since)
            self._write(f"\r\x1b[K{line[: self._width()]}" if self._terminal else f"{line}\n")

    def _width(self) -> int:
        """Number of characters that fit on one line. A longer line would wrap, and ``\\r`` would not erase it."""
        try:
            # A terminal whose size is not set has 0 columns.
            return (os.get_terminal_size(self._fd).columns or 80) - 1
        except OSError:
            return 79

    def _write(self, text: str) -> None:
        # The terminal may be closed.
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
