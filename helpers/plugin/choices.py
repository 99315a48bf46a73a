# SPDX-License-Identifier: GPL-2.0-only
"""The subjects that the options select, and the keys of the session's stash."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.contract.tiers import FULL, read_tier
from helpers.errors import UsageError
from helpers.identity import OWN_DIALECT, SubjectId
from helpers.recording.selection import is_suite, only_shows, touches_suites
from helpers.results.records import Tier, TierScope
from helpers.subjects import choose, lab
from helpers.subjects.base import Subject
from helpers.subjects.lineup import Lineup
from helpers.subjects.turns import SharedTurns
from helpers.subjects.watch import Watch
from helpers.trace.recorder import Trace

LINEUP = pytest.StashKey[Lineup]()
FOLDER = pytest.StashKey[Path]()
WATCHES = pytest.StashKey[dict[SubjectId, Watch]]()
TRACE = pytest.StashKey[Trace]()
TURNS = pytest.StashKey[SharedTurns | None]()
"""None if this process is not a worker, or needs not wait."""
TURNS_INPUT = "hvc_turns"
"""The name of xdist's input for a worker: the folder of its turns."""
WORKERS = pytest.StashKey[list[int]]()
COMPLETE = pytest.StashKey[tuple[TierScope, ...]]()
"""The size of the complete suite if --tier excludes a part. With xdist, the controller sets it when a worker ends."""


def runs_suites(config: pytest.Config) -> bool:
    """Whether the session tests a kernel."""
    return touches_suites(config) and not only_shows(config)


def environment_file(config: pytest.Config) -> str:
    """labgrid's environment file, from the option or the environment variable of labgrid's pytest plugin, or ""."""
    if not config.pluginmanager.has_plugin("labgrid"):
        return ""
    return config.getoption("lg_env") or os.environ.get("LG_ENV", "")


def _places(config: pytest.Config) -> tuple[str, ...]:
    """The targets in labgrid's environment."""
    file = environment_file(config)
    if not file:
        return ()
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        raise pytest.UsageError("labgrid's places can be used by one process only: run with -n 0 (make: JOBS=0)")
    try:
        return lab.targets(file)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def subjects_of(config: pytest.Config) -> tuple[SubjectId, ...]:
    """The subjects in their order, at least one. Raises pytest.UsageError."""
    option = config.getoption
    return choose.subject_ids(
        option("--kernel"),
        option("--board"),
        _places(config),
        dialect=option("--dialect-host") or OWN_DIALECT,
        plants=option("plant"),
        variants=choose.boot_variants(
            option("--kvm-mode"), option("--cpu"), option("--kernel-args"), option("--qemu-args")
        ),
    )


def tier_of(config: pytest.Config) -> Callable[[], Tier | None]:
    """The tier of this run, or None without --tier gate. Its field ``complete`` is set after the collection.

    Raises pytest.UsageError if the list of its tests is missing.
    """
    if config.getoption("--tier") == FULL:
        return lambda: None
    try:
        tier = read_tier()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return lambda: replace(tier, complete=config.stash.get(COMPLETE, ()))


def case_parameters(item: pytest.Item) -> dict[str, Any]:
    """The values of a test case's parameters by name."""
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return parameters


def clause_ids(item: pytest.Item) -> list[str]:
    """The ids of the clauses that a test case checks."""
    return [str(clause) for mark in item.iter_markers("clause") for clause in mark.args]


def needs_subject(item: pytest.Item) -> bool:
    """Whether the test is in suites/ and uses a kernel."""
    return is_suite(item.nodeid) and "subject" in getattr(item, "fixturenames", ())


def subject_of(item: pytest.Item) -> Subject:
    """The subject of a test, started or not. Raises HarnessError."""
    subject_id: SubjectId = case_parameters(item).get("subject") or subjects_of(item.config)[0]
    return item.config.stash[LINEUP].get(subject_id)
