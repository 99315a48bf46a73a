# SPDX-License-Identifier: GPL-2.0-only
"""``make bench``: the time to write reports of 100 and of 5,000 results and to open them in a browser.

The seconds depend on the machine. To compare commits, use the ratio of the two sizes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.errors import HarnessError
from helpers.formats.html.page import document
from helpers.results.columns import columns
from helpers.results.log import read_log
from tests.support.throwaway import run_suite
from tools.browser import browser

SIZES = (100, 5000)
LIMITS = {"write": 5.0, "open": 2.0}
"""Limits in seconds for the larger report on an idle machine."""
# One in 25 fails, one in 5 does not apply.
_SUITE = """
import pytest
@pytest.mark.parametrize("n", range({count}))
def test_it(n):
    if n % 5 == 4: pytest.skip("not applicable, because PTP is missing")
    assert n % 25, "expected: EBUSY\\n    actual: success"
"""
_CLOCK = """
import contextlib, time
@contextlib.contextmanager
def clock(session, name):
    began = time.perf_counter()
    yield
    (session.config.rootpath / name).write_text(str(time.perf_counter() - began))
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    with clock(session, "end"):
        return (yield)
class Inside:
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session):
        with clock(session, "write"):
            return (yield)
def pytest_sessionstart(session):
    session.config.pluginmanager.register(Inside())
"""
# pytest's own work takes the rest of the time: for each failure it searches all reports for a traceback.


def main() -> int:
    """Prints a table. Exit status 1 if the larger report exceeds a limit."""
    try:
        with tempfile.TemporaryDirectory(prefix="kvm-hvc-bench-") as folder, browser() as chromium:
            rows = [row for size in SIZES for row in _measure(Path(folder) / str(size), size, chromium)]
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 3
    small, large = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    over = False
    for (name, few), (_, many) in zip(small, large, strict=True):
        limit = LIMITS.get(name.split()[0], float("inf"))
        over |= many > limit
        suffix = f"   (limit {limit:.0f} s)" if name.split()[0] in LIMITS else ""
        print(f"{name:34} {few:7.3f} s {many:7.3f} s   {many / few:5.1f} times{suffix}")
    return int(over)


def _measure(folder: Path, size: int, chromium: Any) -> Iterator[tuple[str, float]]:
    """Seconds to write and open the report of a run, and the page of its log."""
    report = run_suite(folder, _SUITE.format(count=size), more=_CLOCK)
    yield "end the session, with its reports", float((folder / "end").read_text())
    yield "write report.html and junit.xml", float((folder / "write").read_text())
    yield "open report.html", _opening(report, chromium)
    began = time.perf_counter()
    (folder / "page.html").write_text(document(columns([read_log(report.with_name("results.jsonl"))])))
    yield "write the page of the log", time.perf_counter() - began
    yield "open the page of the log", _opening(folder / "page.html", chromium)


def _opening(path: Path, chromium: Any) -> float:
    """Seconds until the page is loaded and laid out: the best of three, because other programs can only add time."""
    best = float("inf")
    for _ in range(3):
        page = chromium.new_page()
        began = time.perf_counter()
        page.goto(path.as_uri())
        page.evaluate("document.documentElement.scrollHeight")
        best = min(best, time.perf_counter() - began)
        page.close()
    return best


if __name__ == "__main__":
    sys.exit(main())
