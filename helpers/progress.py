# SPDX-License-Identifier: GPL-2.0-only
"""Lines for the person who waits: what is done, and for how long already."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

_QUIET_SECONDS = 15.0
"""Between two signs of life where nobody watches a terminal."""


class Progress:
    """Writes to a descriptor of its own, so that pytest's capturing does not swallow what is meant for the person."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = os.dup(fd)
        self._terminal = os.isatty(self._fd)

    def line(self, text: str) -> None:
        """One line."""
        self._write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")

    @contextlib.contextmanager
    def steps(self) -> Iterator[Callable[[str], None]]:
        """Gives what each step is told to: its line is written at once, and then for how long it goes on."""
        with contextlib.ExitStack() as step:

            def begin(text: str) -> None:
                step.close()
                self.line(text)
                step.enter_context(self.waiting(text, said=True))

            yield begin

    @contextlib.contextmanager
    def waiting(self, text: str, *, said: bool = False) -> Iterator[None]:
        """Says what is waited for while the block runs: on a terminal at once and every second, else now and then.

        Not at once where it was ``said``.
        """
        done = threading.Event()
        thread = threading.Thread(target=self._tell, args=(text, said, time.monotonic(), done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if self._terminal:
                self._write("\r\x1b[K")

    def _tell(self, text: str, said: bool, since: float, done: threading.Event) -> None:
        if self._terminal and not said:
            self._write(f"\r\x1b[K{text} ...")
        while not done.wait(1.0 if self._terminal else _QUIET_SECONDS):
            seconds = f"{text}: {time.monotonic() - since:.0f} s"
            self._write(f"\r\x1b[K{seconds}" if self._terminal else f"{seconds}\n")

    def _write(self, text: str) -> None:
        # The terminal may be gone.
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
