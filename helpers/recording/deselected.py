# SPDX-License-Identifier: GPL-2.0-only
"""Counts the tests of the suites that a plugin or a conftest.py deselects, except --tier, in xdist's workers too.

xdist's controller collects no tests, so each worker sends its count when it ends. All workers deselect the same tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from helpers.recording.selection import BY_TIER, DESELECTED, deselected, is_suite

_KEY = "hvc_deselected"


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Called by every plugin that deselects tests."""
    for item in items:
        if is_suite(item.nodeid) and BY_TIER not in item.stash:
            item.config.stash[DESELECTED] = deselected(item.config) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker: send the count."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_KEY] = deselected(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the controller: keep the count. A worker that crashed has none."""
    count = getattr(node, "workeroutput", {}).get(_KEY, 0)
    node.config.stash[DESELECTED] = max(deselected(node.config), count)
