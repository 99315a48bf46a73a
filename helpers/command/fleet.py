# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance report fleet LOG...``: the settings with which VMs migrate between hosts."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from helpers.command.files import check_inputs, input_label, load_log, save_report
from helpers.command.parser import WRONG_USAGE, CommandParser
from helpers.errors import HarnessError, UsageError
from helpers.formats.fleet import fleet_json, fleet_text
from helpers.formats.output import STANDARD_OUTPUT, encodable_text
from helpers.results.columns import columns
from helpers.results.fleet import CANNOT_TELL, fleet_of

NAME = "fleet"
_EPILOG = """Each kernel in the logs is a host. Run the suite on each host once, and keep its results.jsonl.

exit status:
  0  VMs with these settings migrate between all hosts, and the guest sees the same
  1  a destination refuses a register, or the guest sees a change
  3  a log lacks facts about a migration, or cannot be read
  4  wrong usage
"""


def main(arguments: Sequence[str]) -> int:
    """Print the tables. Returns one of the statuses above."""
    options = _parser().parse_args(arguments)
    try:
        check_inputs(options.logs)
        logs = [(input_label(name), load_log(name)) for name in options.logs]
        fleet = fleet_of([(name, column) for name, log in logs for column in columns([log])])
        if options.json:
            save_report(options.json, fleet_json(fleet).encode())
    except UsageError as error:
        return _fail(str(error), WRONG_USAGE)
    except HarnessError as error:
        return _fail(f"CANNOT TELL: {error}", CANNOT_TELL)
    stream = sys.stderr if options.json == STANDARD_OUTPUT else sys.stdout
    print(encodable_text(fleet_text(fleet), stream, "replace"), end="", file=stream)
    return fleet.status


def _fail(text: str, status: int) -> int:
    print(encodable_text(text, sys.stderr), file=sys.stderr)
    return status


def _parser() -> CommandParser:
    description = "Find the firmware registers' values with which VMs migrate between hosts."
    parser = CommandParser(f"report {NAME}", description, _EPILOG)
    parser.add_argument("logs", nargs="+", metavar="LOG", help="results.jsonl of each host; - is standard input")
    parser.add_argument("--json", metavar="FILE", help="write the same as JSON; - is standard output")
    return parser
