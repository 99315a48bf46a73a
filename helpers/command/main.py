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
    """A module with ``main(arguments) -> status``, imported only for its subcommand, and the line for ``--help``."""

    module: str
    summary: str


SUBCOMMANDS = {
    "doctor": Subcommand("helpers.doctor.doctor", "check whether this machine can run the suite"),
    "run": Subcommand("helpers.command.run", "run the suite; every argument goes to pytest"),
    "report": Subcommand("helpers.command.report", "write reports (HTML, JUnit, KTAP, LAVA, KCIDB) from results logs"),
    "diff": Subcommand("helpers.command.diff", "compare two kernels by their results logs"),
    "prove": Subcommand("faults.prove", "plant faults in a stock kernel's KVM and check that the suite detects them"),
}
_LIST = "".join(f"  {name:8}{subcommand.summary}\n" for name, subcommand in SUBCOMMANDS.items())


def main(arguments: Sequence[str]) -> int:
    """Call the subcommand in the first argument. Returns its exit status. Raises SystemExit(4) for wrong usage."""
    description = "Conformance suite for KVM's hypercall bitmap registers on arm64."
    epilog = f"subcommands:\n{_LIST}\n{PROGRAM} SUBCOMMAND --help lists the options of a subcommand."
    parser = CommandParser("", description, epilog)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {suite_version()}")
    parser.usage = f"{PROGRAM} [-h] [--version] {{{'|'.join(SUBCOMMANDS)}}} ..."
    parser.add_argument("subcommand", choices=SUBCOMMANDS, nargs="?", metavar="SUBCOMMAND", help="see below")
    name = parser.parse_args(arguments[:1]).subcommand
    if name is None:
        parser.error("a subcommand is missing")
    return int(importlib.import_module(SUBCOMMANDS[name].module).main(list(arguments[1:])))
