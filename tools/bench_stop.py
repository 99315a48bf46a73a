# SPDX-License-Identifier: GPL-2.0-only
"""``make bench``: the time to the end of a session, from Ctrl-C and from the last test's result."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.support.sessions import GOOD, KERNEL, MANY, Project, wait_for_results

LIMIT = 2.0
"""Limit in seconds for the end at Ctrl-C on an idle machine."""


def main() -> int:
    """Prints a table. Exit status 1 if the end at Ctrl-C exceeds the limit."""
    over = False
    for name, mode in (("alone", ()), ("two workers", ("-n", "2"))):
        plain, stopped = (_ending(mode, interrupt) for interrupt in (False, True))
        over |= stopped > LIMIT
        times = f"{plain:6.2f} s, at Ctrl-C {stopped:6.2f} s   {stopped / plain:5.1f} times"
        print(f"end of a session, {name:12} {times}   (limit {LIMIT:.0f} s)")
    return int(over)


def _ending(mode: tuple[str, ...], interrupt: bool) -> float:
    """Seconds from Ctrl-C, or from the last test's result, to the end of the session. The better of two runs."""
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
