# SPDX-License-Identifier: GPL-2.0-only
"""Writes the subcommands' reports, but not into the folder of a running session."""

from __future__ import annotations

from pathlib import Path

from helpers.formats.output import STANDARD_OUTPUT, write
from helpers.recording.folder import without_session


def save_report(name: str, data: bytes) -> None:
    """Write a report; ``-`` is standard output.

    Raises UsageError if a session writes to its folder or the file is a log, HarnessError if writing fails.
    """
    if name == STANDARD_OUTPUT:
        write(name, data)
    else:
        with without_session(Path(name).parent):
            write(name, data)
