# SPDX-License-Identifier: GPL-2.0-only
"""The folder for a session's reports, which is its own while it runs: two sessions never write into one log."""

from __future__ import annotations

import fcntl
import os
from itertools import count
from pathlib import Path

from helpers.errors import UsageError

_HELD: list[int] = []
"""The folders' descriptors, whose locks end with the process, however that ends."""


def claim(folder: Path, *, asked: bool) -> Path:
    """FOLDER, or one inside of it while another session writes there.

    Raises UsageError in its place where the folder was ``asked`` for: what reads it then would read the other's.
    What cannot be made or opened is returned as it is: writing there tells why.
    """
    candidates = (folder / f"session-{number}" if number > 1 else folder for number in count(1))
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(candidate, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return candidate
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if asked:
                cure = "Give this one a folder of its own with --reports"
                raise UsageError(f"Another session writes its reports to {folder}", cure=cure) from None
        except OSError:
            # A file system without locks.
            os.close(descriptor)
            return candidate
        else:
            _HELD.append(descriptor)
            return candidate
    raise AssertionError("count() ends")
