# SPDX-License-Identifier: GPL-2.0-only
"""Distributes the tests over xdist's workers, so that no kernel boots, and no guest is observed, more than needed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from helpers.identity import MigrationId, SubjectId
from helpers.results.nodeids import NodeIds

_RACES = "suites/concurrency/"


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of one subject: a module at a time to a free worker, because its tests share observations.

    One worker gets all races, because they run one at a time, on a kernel that is booted again if it cannot bring up
    processors.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # The order of the collection: a long module that came last would leave the other workers without work.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return _RACES if nodeid.startswith(_RACES) else nodeid.partition("::")[0]


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
