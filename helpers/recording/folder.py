# SPDX-License-Identifier: GPL-2.0-only
"""The lock on a folder of reports, so that no other session or command writes there while a session runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from helpers.errors import UsageError

_HELD: list[int] = []
"""The descriptors of the locked folders. The kernel releases the locks when the process ends."""


def default_folder(root: Path, current: Path) -> Path:
    """The folder without --reports: in ``root`` if ``current`` is inside it, otherwise in ``current``."""
    return (root if current.is_relative_to(root) else current) / "reports"


def claim(folder: Path, *, asked: bool) -> Path:
    """Lock ``folder``, or a folder inside it if another session has the lock. Returns the folder to write to.

    ``asked``: the user named the folder. Then UsageError is raised if another session has the lock, because the user
    would read that session's reports. A folder that cannot be created or locked is returned without a lock, and writing
    to it reports the cause.
    """
    candidates = (folder / f"session-{number}" if number > 1 else folder for number in count(1))
    for candidate in candidates:
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            _HELD.append(_lock(candidate, fcntl.LOCK_EX))
        except BlockingIOError:
            if asked:
                cure = "Give another folder with --reports"
                raise UsageError(f"Another session writes its reports to {folder}", cure=cure) from None
        except OSError:
            return candidate
        else:
            return candidate
    raise AssertionError("count() ends")


@contextmanager
def without_session(folder: Path) -> Iterator[None]:
    """Prevent sessions from using ``folder`` during the block. Raises UsageError if a session writes there."""
    with ExitStack() as stack:
        try:
            # Shared: several commands may write their files at the same time.
            stack.callback(os.close, _lock(folder, fcntl.LOCK_SH))
        except BlockingIOError:
            cure = "Wait until it ends, or name another folder"
            raise UsageError(f"A session writes its reports to {folder}", cure=cure) from None
        except OSError:
            # The folder does not exist, or its file system has no locks. In the first case, writing reports the cause.
            pass
        yield


def _lock(folder: Path, kind: int) -> int:
    """A descriptor that holds the lock. Raises BlockingIOError if another process has it; OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
