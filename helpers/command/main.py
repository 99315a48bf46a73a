# SPDX-License-Identifier: GPL-2.0-only
"""The table of the subcommands."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.command.parser import PROGRAM, CommandParser
from helpers.version import suite_version


@dataclass(frozen=True)
class Subcommand:
    """A module with ``main(arguments) -> status``, imported when it is called, and what ``--help`` prints of it."""

    module: str
    summary: str


SUBCOMMANDS = {
    "run": Subcommand("helpers.command.run", "run the suite; every argument goes to pytest"),
    "report": Subcommand("helpers.command.report", "write reports (HTML, JUnit, KTAP, LAVA, KCIDB) from results logs"),
    "diff": Subcommand("helpers.command.diff", "compare two kernels by their results logs"),
    "prove": Subcommand("faults.prove", "plant faults in a stock kernel's KVM and check that the suite detects them"),
}
_LIST = "".join(f"  {name:8}{subcommand.summary}\n" for name, subcommand in SUBCOMMANDS.items())


def main(arguments: Sequence[str]) -> int:
    """Call the subcommand that the first argument names. Returns its exit status; raises SystemExit(4)."""
    parser = _parser()
    name = parser.parse_args(arguments[:1]).subcommand
    if name is None:
        parser.error("name a subcommand")
    subcommand = importlib.import_module(SUBCOMMANDS[name].module)
    return int(subcommand.main(list(arguments[1:])))


def _parser() -> CommandParser:
    description = "Conformance suite for KVM's hypercall bitmap registers on arm64."
    epilog = f"subcommands:\n{_LIST}\n{PROGRAM} SUBCOMMAND --help lists the options of a subcommand."
    parser = CommandParser("", description, epilog)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {suite_version()}")
    parser.usage = f"{PROGRAM} [-h] [--version] {{{'|'.join(SUBCOMMANDS)}}} ..."
    parser.add_argument("subcommand", choices=SUBCOMMANDS, nargs="?", metavar="SUBCOMMAND", help="see below")
    return parser
