# SPDX-License-Identifier: GPL-2.0-only
"""Reads the subcommands' logs, and writes their reports, but not into the folder of a running session."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.errors import HarnessError, UsageError
from helpers.formats.output import STANDARD_OUTPUT, write
from helpers.recording.folder import without_session
from helpers.results.log import parse_log, read_log
from helpers.results.records import Log

STANDARD_INPUT = "-"


def check_inputs(names: Sequence[str]) -> None:
    """Raises UsageError if two of the logs are standard input."""
    if names.count(STANDARD_INPUT) > 1:
        raise UsageError("Only one log can be read from standard input", cure="Save the others to files and name them")


def load_log(name: str) -> Log:
    """Read a results log; ``-`` is standard input. Raises HarnessError."""
    return parse_log(_standard_input(), input_label(name)) if name == STANDARD_INPUT else read_log(Path(name))


def input_label(name: str) -> str:
    """The name of a log in messages."""
    return "standard input" if name == STANDARD_INPUT else name


def _standard_input() -> bytes:
    what = "Standard input cannot be read"
    if sys.stdin is None:
        raise HarnessError(what, why="it is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise HarnessError(what, why=error.strerror or str(error)) from error


def save_report(name: str, data: bytes) -> None:
    """Write a report; ``-`` is standard output.

    Raises UsageError if a session writes to its folder or the file is a log, HarnessError if writing fails.
    """
    if name == STANDARD_OUTPUT:
        write(name, data)
    else:
        with without_session(Path(name).parent):
            write(name, data)
