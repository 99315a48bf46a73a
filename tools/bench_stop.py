# SPDX-License-Identifier: GPL-2.0-only
"""``make bench``: how soon a session ends at Ctrl-C, beside how soon one ends that has no test left to run."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.support.sessions import GOOD, KERNEL, MANY, Project, wait_for_results

LIMIT = 2.0
"""Seconds that a session may take to end at Ctrl-C on an idle machine."""


def main() -> int:
    """Prints a table; 1 where an interrupted session takes longer than it may."""
    over = False
    for name, mode in (("alone", ()), ("two workers", ("-n", "2"))):
        plain, stopped = (_ending(mode, interrupt) for interrupt in (False, True))
        over |= stopped > LIMIT
        print(f"end of a session, {name:12} {plain:6.2f} s, at Ctrl-C {stopped:6.2f} s   "
              f"{stopped / plain:5.1f} times   (may take {LIMIT:.0f} s)")  # fmt: skip
    return int(over)


def _ending(mode: tuple[str, ...], interrupt: bool) -> float:
    """Seconds from Ctrl-C, or from the last test's result, to the end of the session; the better of two."""
    return min(_once(mode, interrupt) for _ in range(2))


def _once(mode: tuple[str, ...], interrupt: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="kvm-hvc-bench-") as folder:
        project = Project(Path(folder))
        project.suite(MANY if interrupt else "")
        process = project.start(KERNEL, *mode)
        wait_for_results(project, 4 if interrupt else len(GOOD))
        began = time.monotonic()
        if interrupt:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
        return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
