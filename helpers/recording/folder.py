# SPDX-License-Identifier: GPL-2.0-only
"""The lock on a folder of reports: while a session runs, nothing else writes there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from helpers.errors import UsageError

_HELD: list[int] = []
"""The descriptors of the locked folders; the locks end with the process, however it ends."""


def default_folder(root: Path, current: Path) -> Path:
    """The folder for reports if none is named: the suite's own inside of ``root``, one in ``current`` elsewhere."""
    return (root if current.is_relative_to(root) else current) / "reports"


def claim(folder: Path, *, asked: bool) -> Path:
    """Lock ``folder``, or one inside of it while another session writes there. Returns the folder to write to.

    Raises UsageError instead if ``asked``: the user named the folder, and would read the other session's reports. A
    folder that cannot be made or locked is returned unlocked; whatever writes there reports the cause.
    """
    candidates = (folder / f"session-{number}" if number > 1 else folder for number in count(1))
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            _HELD.append(_lock(candidate, fcntl.LOCK_EX))
        except BlockingIOError:
            if asked:
                cure = "Give this one a folder of its own with --reports"
                raise UsageError(f"Another session writes its reports to {folder}", cure=cure) from None
        except OSError:
            return candidate
        else:
            return candidate
    raise AssertionError("count() ends")


@contextmanager
def without_session(folder: Path) -> Iterator[None]:
    """Let no session begin in ``folder`` during the block. Raises UsageError if one writes there already."""
    descriptor = None
    try:
        # Shared: two commands may write their files at the same time.
        descriptor = _lock(folder, fcntl.LOCK_SH)
    except BlockingIOError:
        cure = "Wait until it ends, or name another folder"
        raise UsageError(f"A session writes its reports to {folder}", cure=cure) from None
    except OSError:
        # No such folder, or a file system without locks: writing there reports the cause.
        pass
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path, kind: int) -> int:
    """A descriptor that holds the lock. Raises BlockingIOError if another holds it, OSError without one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
