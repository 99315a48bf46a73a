# SPDX-License-Identifier: GPL-2.0-only
"""The argument parser of the subcommands."""

from __future__ import annotations

import argparse

PROGRAM = "kvm-hvc-conformance"
WRONG_USAGE = 4
"""pytest's status for a wrong command line."""


class CommandParser(argparse.ArgumentParser):
    """argparse with another exit status for wrong usage, because its status 2 means an interrupted run in pytest."""

    def __init__(self, name: str, description: str, epilog: str = "", *, wrong_usage: int = WRONG_USAGE) -> None:
        super().__init__(
            prog=f"{PROGRAM} {name}".rstrip(),
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._wrong_usage = wrong_usage

    def exit(self, status: int = 0, message: str | None = None) -> None:  # type: ignore[override]
        """End the program. Every status other than 0 becomes the status for wrong usage."""
        super().exit(self._wrong_usage if status else 0, message)
