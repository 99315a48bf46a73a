# SPDX-License-Identifier: GPL-2.0-only
"""Output of reports: to files that are not logs, to standard output, and as text for a terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TextIO

from helpers.errors import HarnessError, UsageError

STANDARD_OUTPUT = "-"
_LOG_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"record"\s*:\s*"session"')


def write(name: str, data: bytes) -> None:
    """Write a report; - is standard output. Raises UsageError if the file is a log, HarnessError if writing fails."""
    try:
        if name == STANDARD_OUTPUT:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            _protect_log(Path(name))
            Path(name).write_bytes(data)
    except OSError as error:
        why = error.strerror or str(error)
        raise HarnessError(f"The report {name} cannot be written", why=why, cure="Choose another folder") from error


def _protect_log(path: Path) -> None:
    """Raises UsageError if the file is a log, as for ``--junit LOG`` without a name for the report; OSError."""
    if path.is_file():
        with path.open("rb") as file:
            if _LOG_BEGINS.match(file.read(4096)):
                what = f"{path} is a results log, which a report must not replace"
                raise UsageError(what, cure="Name another file")


def encodable_text(text: str, stream: TextIO, errors: str = "backslashreplace") -> str:
    """Text that the stream can encode, with ``errors`` as the error handler."""
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, errors).decode(encoding)
