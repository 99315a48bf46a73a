# SPDX-License-Identifier: GPL-2.0-only
"""Where the converters' reports go: files that are no logs, standard output, and lines for a terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from helpers.errors import HarnessError, UsageError

STANDARD_OUTPUT = "-"
_LOG_BEGINS = re.compile(rb'\{\s*"record"\s*:\s*"session"')


def write(name: str, data: bytes) -> None:
    """Write a report; - is standard output. Raises UsageError over a log, HarnessError where it cannot be."""
    try:
        if name == STANDARD_OUTPUT:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            _spare_logs(Path(name))
            Path(name).write_bytes(data)
    except OSError as error:
        why = error.strerror or str(error)
        raise HarnessError(f"The report {name} cannot be written", why=why, cure="Name another file") from error


def _spare_logs(path: Path) -> None:
    """``--junit LOG``, where the report's name was forgotten, must not cost a log. Raises UsageError, OSError."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        if _LOG_BEGINS.match(file.read(64)):
            raise UsageError(f"{path} is a results log, and no report is written over one", cure="Name another file")


def encodable_text(text: str) -> str:
    """Text that standard error can show, whatever its encoding."""
    encoding = sys.stderr.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
