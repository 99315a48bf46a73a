# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance diff BEFORE AFTER``, with exit statuses for ``git bisect run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.command.files import save_report
from helpers.command.parser import CommandParser
from helpers.errors import HarnessError
from helpers.formats.diff_text import page, text
from helpers.formats.output import encodable_text
from helpers.results.columns import Column, columns
from helpers.results.diff import CANNOT_TELL, compare_logs, paired, worst_status
from helpers.results.log import read_log

STOPS_BISECT = 129
"""As git's own; git bisect run would take every smaller number for a bad commit, and ends at this one."""

_STATUSES = """exit status, as git bisect run takes it:
  0    nothing changed that guests or VMMs see, and nothing got worse
  1    something did
  125  it cannot be told: a log is missing, breaks off or is inconclusive (git bisect skips the commit)
  129  wrong usage, or BEFORE cannot be read: no commit's fault (git bisect stops)
"""


def main(arguments: Sequence[str]) -> int:
    """Say what changed; the status is one of those above."""
    options = _parser().parse_args(arguments)
    try:
        before = columns([read_log(Path(options.before))])
        after = _after(Path(options.after))
        if after is None:
            return CANNOT_TELL
        comparisons = [compare_logs(*pair) for pair in paired(before, after)]
        if options.html:
            save_report(options.html, page(comparisons).encode())
    except HarnessError as error:
        # None of this is about the commit, and the next one would fare no better.
        print(encodable_text(str(error)), file=sys.stderr)
        return STOPS_BISECT
    told = _printable("\n".join(map(text, comparisons)))
    print(told, end="", file=sys.stderr if options.html == "-" else sys.stdout)
    return worst_status(comparisons)


def _after(path: Path) -> tuple[Column, ...] | None:
    """The subjects of the log in question; None, and why on standard error, where the run left none to read."""
    try:
        return columns([read_log(path)])
    except HarnessError as error:
        print(encodable_text(f"CANNOT TELL: {error}"), file=sys.stderr)
        return None


def _parser() -> CommandParser:
    description = "What changed between two kernels, by their results logs."
    parser = CommandParser("diff", description, _STATUSES, wrong_usage=STOPS_BISECT)
    parser.add_argument("before", metavar="BEFORE", help="results.jsonl of the kernel that is the reference")
    parser.add_argument("after", metavar="AFTER", help="results.jsonl of the kernel to compare with it")
    parser.add_argument("--html", metavar="FILE", help="write every change to an HTML page; - is standard output")
    return parser


def _printable(shown: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    return shown.encode(encoding, "replace").decode(encoding)
