# SPDX-License-Identifier: GPL-2.0-only
"""Which of xdist's workers makes which test when there are several subjects: no kernel is booted more than needed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from helpers.results.records import subject_of


class BySubject(LoadScopeScheduling):  # type: ignore[misc]
    """A subject's tests go to one worker; with more workers than subjects, to as many as there are for each."""

    def __init__(self, config: pytest.Config, log: Any, subjects: Sequence[str], workers: int) -> None:
        super().__init__(config, log)
        self._subjects = tuple(subjects)
        self._shares = -(-workers // len(subjects))

    def _split_scope(self, nodeid: str) -> str:
        subject = subject_of(nodeid, self._subjects) or ""
        return f"{subject} {zlib.crc32(nodeid.encode()) % self._shares}"
