# SPDX-License-Identifier: GPL-2.0-only
"""The text of a failed test on the terminal: the test, its clauses, the message, the last calls, how to repeat it.

It replaces pytest's own text, which consists of the test's source, its fixtures' values and the stack frames of this
suite. ``--tb=short`` (or ``long``, ``native``) adds that text. ``-v`` shows all calls of the trace.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from helpers.recording.phases import NOT_RUN, message_of, properties, result_of
from helpers.recording.selection import is_suite
from helpers.results.nodeids import NodeIds
from helpers.results.records import ERROR, Contract, Result

LAST_CALLS = 12
"""Number of lines with system calls that are shown without -v."""
HARNESS_ERROR = "HARNESS ERROR, not a finding about the kernel"
_PYTESTS_OWN = ("no", "line")
"""Values of --tb with which pytest prints no text for a failure."""
_WIDTH = 100
_INDENT = "    "


class Failures:
    """Replaces pytest's text of each failure of the suites. With xdist it runs in the controller.

    ``command`` returns the command that repeats a test, given its node id.
    """

    def __init__(
        self, config: pytest.Config, node_ids: NodeIds, contract: Contract, command: Callable[[str], str]
    ) -> None:
        self._style: str = config.getoption("tbstyle")
        self._verbose = config.get_verbosity() > 0
        self._node_ids = node_ids
        self._sentences = {each.id: each.text for each in contract.sentences}
        self._command = command

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Replace the text before pytest's terminal plugin and pytest-html store the report."""
        if not is_suite(report.nodeid) or not report.failed or NOT_RUN in properties(report):
            return
        result = result_of([report], self._node_ids)
        if result is None or self._style in _PYTESTS_OWN:
            return
        text = "\n".join(self._paragraphs(result))
        # The stack frames show the cause of an unexpected exception.
        unexpected = result.outcome == ERROR and not isinstance(report.longrepr, str)
        if self._style != "auto" or unexpected:
            text += f"\n\n{report.longreprtext}"
        report.longrepr = _with_text(report, text)

    def _paragraphs(self, result: Result) -> Iterator[str]:
        on = f" on {result.subject.label}" if result.subject is not None else ""
        yield f"{result.nodeid}{on}"
        is_error = result.outcome == ERROR
        for clause in () if is_error else result.clauses:
            yield _wrapped(f"{clause}: {self._sentences.get(clause, result.requirement)}")
        if result.source and not is_error:
            yield _wrapped(f"Source: {result.source}")
        head = f"{HARNESS_ERROR}: " if is_error else ""
        yield f"\n{head}{result.message.removeprefix('AssertionError: ').strip()}\n"
        if result.calls:
            yield from self._calls(result.calls.splitlines())
        yield f"Repeat: {self._command(result.nodeid)}"

    def _calls(self, lines: list[str]) -> Iterator[str]:
        last = lines if self._verbose else lines[-LAST_CALLS:]
        earlier = len(lines) - len(last)
        yield f"System calls of the test{f' (-v shows {earlier} earlier lines)' if earlier else ''}:"
        yield from (f"{_INDENT}{line}" for line in last)
        yield ""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)


def _with_text(report: pytest.TestReport, text: str) -> ReprExceptionInfo:
    """The text in a type that xdist, pytest's summary and the log accept.

    The message for the log and the short summary stays the same.
    """
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        path, line, _ = report.location
        crash = ReprFileLocation(path, (line or 0) + 1, message_of(report))
    return ReprExceptionInfo(ReprTraceback([ReprEntryNative([f"{text}\n"])], None, "native"), crash)
