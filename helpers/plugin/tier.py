# SPDX-License-Identifier: GPL-2.0-only
"""--tier gate: deselects the tests outside of the gate tier, and counts the complete suite for the verdict."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from helpers.identity import Identity
from helpers.plugin.choices import COMPLETE, clause_ids, subjects_of, tier_of
from helpers.recording.selection import BY_TIER, is_suite
from helpers.results.nodeids import NodeIds, without_parameter
from helpers.results.records import TierScope

_KEY = "hvc_complete_suite"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count the collected tests. Keep the tests of the tier and the tests outside of suites/."""
    tier = tier_of(config)()
    if tier is None:
        return
    node_ids = NodeIds(subjects_of(config))
    tests: dict[Identity, int] = {}
    clauses: dict[Identity, dict[str, None]] = {}
    listed = frozenset(tier.tests)
    keep: list[pytest.Item] = []
    leave: list[pytest.Item] = []
    for item in items:
        subject = node_ids.subject_of(item.nodeid) if is_suite(item.nodeid) else None
        if subject is None:
            keep.append(item)
            continue
        tests[subject] = tests.get(subject, 0) + 1
        clauses.setdefault(subject, {}).update(dict.fromkeys(clause_ids(item)))
        (keep if without_parameter(item.nodeid, subject) in listed else leave).append(item)
    config.stash[COMPLETE] = tuple(TierScope(each, tests[each], tuple(clauses[each])) for each in tests)
    items[:] = keep
    for item in leave:
        item.stash[BY_TIER] = True
    if leave:
        config.hook.pytest_deselected(items=leave)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of xdist: send the counts. The controller collects no tests."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None and COMPLETE in session.config.stash:
        output[_KEY] = msgspec.json.encode(session.config.stash[COMPLETE]).decode()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the controller: keep the counts. They are the same in each worker."""
    text = getattr(node, "workeroutput", {}).get(_KEY)
    if text:
        node.config.stash[COMPLETE] = msgspec.json.decode(text, type=tuple[TierScope, ...])
