# SPDX-License-Identifier: GPL-2.0-only
"""Writes what the subcommands make, never into the folder of a session that runs."""

from __future__ import annotations

from pathlib import Path

from helpers.formats.output import STANDARD_OUTPUT, write
from helpers.recording.folder import without_session


def save_report(name: str, data: bytes) -> None:
    """Write a report; ``-`` is standard output. Raises UsageError, and HarnessError if the file cannot be written."""
    if name == STANDARD_OUTPUT:
        write(name, data)
    else:
        with without_session(Path(name).parent):
            write(name, data)
