# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance diff BEFORE AFTER``, with exit statuses for ``git bisect run``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from helpers.command.files import check_inputs, load_log, save_report
from helpers.command.parser import CommandParser
from helpers.errors import HarnessError
from helpers.formats.diff_text import page, text
from helpers.formats.output import STANDARD_OUTPUT, encodable_text
from helpers.results.columns import Column, columns
from helpers.results.diff import CANNOT_TELL, compare_logs, paired, worst_status

STOPS_BISECT = 129
"""git's own status for wrong usage. It stops git bisect run, while a status below 128 would mark the commit as bad."""

_STATUSES = """exit status, for git bisect run:
  0    good: guests and VMMs see no change, and nothing got worse
  1    bad: guests or VMMs see a change, or something got worse
  125  skip: the comparison is incomplete, because a log is missing, truncated or inconclusive, or because a test that
       had a result is now not measured
  129  stop: wrong usage, or BEFORE cannot be read
"""


def main(arguments: Sequence[str]) -> int:
    """Print the changes. Returns one of the statuses above."""
    options = _parser().parse_args(arguments)
    try:
        check_inputs([options.before, options.after])
        before = columns([load_log(options.before)])
        after = _after(options.after)
        if after is None:
            return CANNOT_TELL
        comparisons = [compare_logs(*pair) for pair in paired(before, after)]
        if options.html:
            save_report(options.html, page(comparisons).encode())
    except HarnessError as error:
        # The error does not depend on the commit, so git bisect run must stop.
        print(encodable_text(str(error), sys.stderr), file=sys.stderr)
        return STOPS_BISECT
    stream = sys.stderr if options.html == STANDARD_OUTPUT else sys.stdout
    print(encodable_text("\n".join(map(text, comparisons)), sys.stdout, "replace"), end="", file=stream)
    return worst_status(comparisons)


def _after(name: str) -> tuple[Column, ...] | None:
    """The subjects of the log AFTER. If it cannot be read, prints the error on standard error and returns None."""
    try:
        return columns([load_log(name)])
    except HarnessError as error:
        print(encodable_text(f"CANNOT TELL: {error}", sys.stderr), file=sys.stderr)
        return None


def _parser() -> CommandParser:
    description = "Compare two kernels by their results logs."
    parser = CommandParser("diff", description, _STATUSES, wrong_usage=STOPS_BISECT)
    parser.add_argument("before", metavar="BEFORE", help="results.jsonl of the reference kernel; - is standard input")
    parser.add_argument("after", metavar="AFTER", help="results.jsonl of the other kernel; - is standard input")
    parser.add_argument("--html", metavar="FILE", help="write every change to an HTML page; - is standard output")
    return parser
