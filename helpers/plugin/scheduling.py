# SPDX-License-Identifier: GPL-2.0-only
"""Distributes the tests of several subjects over xdist's workers, so that no kernel boots more often than needed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from helpers.identity import MigrationId, SubjectId
from helpers.results.nodeids import NodeIds


class BySubject(LoadScopeScheduling):  # type: ignore[misc]
    """One worker for each subject; several for each if there are more workers than subjects."""

    def __init__(self, config: pytest.Config, log: Any, subjects: Sequence[SubjectId], workers: int) -> None:
        super().__init__(config, log)
        self._node_ids = NodeIds(subjects)
        self._shares = -(-workers // len(subjects))

    def _split_scope(self, nodeid: str) -> str:
        subject = self._node_ids.subject_of(nodeid)
        # A migration's tests run where its target's tests run, because that worker boots the target's kernel anyway.
        kernel = subject.target if isinstance(subject, MigrationId) else subject
        return f"{kernel.label if kernel else ''} {zlib.crc32(nodeid.encode()) % self._shares}"
