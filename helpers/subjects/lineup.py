# SPDX-License-Identifier: GPL-2.0-only
"""The subjects of one session. While one is tested, the next ones boot."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from helpers.errors import HarnessError
from helpers.identity import SubjectId
from helpers.subjects.base import KernelDied, Subject


class Lineup:
    """Creates each subject at its first use, and ends all of them.

    ``make`` receives the id and the running machines with the module, because all faults of a kernel share one boot.
    """

    def __init__(self, make: Callable[[SubjectId, dict[SubjectId, Subject]], Subject]) -> None:
        self._make = make
        self._subjects: dict[SubjectId, Subject] = {}
        self._warm: dict[SubjectId, Subject] = {}

    def get(self, subject_id: SubjectId) -> Subject:
        """The subject, which may not be started. Raises UsageError, HarnessError."""
        if subject_id not in self._subjects:
            self._subjects[subject_id] = self._make(subject_id, self._warm)
        return self._subjects[subject_id]

    def launch_after(self, subject_id: SubjectId, order: Sequence[SubjectId]) -> None:
        """Begins to boot the next subjects, one for each processor. Their ``start`` reports errors."""
        at = order.index(subject_id) if subject_id in order else len(order)
        for following in order[at + 1 : at + (os.cpu_count() or 1)]:
            with contextlib.suppress(HarnessError):
                self.get(following).launch()

    def untold(self) -> list[KernelDied]:
        """Returns and clears the deaths of all subjects."""
        return [died for died in (subject.untold() for subject in self._subjects.values()) if died is not None]

    def close(self) -> None:
        """Ends every subject."""
        for subject in (*self._subjects.values(), *self._warm.values()):
            subject.close()
