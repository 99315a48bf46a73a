# SPDX-License-Identifier: GPL-2.0-only
"""The subjects of one session: which are started, and which boot while others are tested."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from helpers.errors import HarnessError
from helpers.subjects.base import KernelDied, Subject


class Lineup:
    """Makes each subject when it is first asked for, and ends all of them.

    ``make`` is given the label and the machines in which something is planted: one boot serves every fault.
    """

    def __init__(self, make: Callable[[str, dict[str, Subject]], Subject]) -> None:
        self._make = make
        self._made: dict[str, Subject] = {}
        self._warm: dict[str, Subject] = {}

    def get(self, label: str) -> Subject:
        """The subject, perhaps not started. Raises UsageError, HarnessError."""
        if label not in self._made:
            self._made[label] = self._make(label, self._warm)
        return self._made[label]

    def launch_after(self, label: str, labels: Sequence[str]) -> None:
        """Begins to boot those that come after ``label``, one for each processor; their own start tells of trouble."""
        at = labels.index(label) if label in labels else len(labels)
        for following in labels[at + 1 : at + (os.cpu_count() or 1)]:
            with contextlib.suppress(HarnessError):
                self.get(following).launch()

    def untold(self) -> list[KernelDied]:
        """The deaths of all of them since this was asked last."""
        return [died for died in (subject.untold() for subject in self._made.values()) if died is not None]

    def close(self) -> None:
        """Ends every subject."""
        for subject in (*self._made.values(), *self._warm.values()):
            subject.close()
