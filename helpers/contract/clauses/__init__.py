# SPDX-License-Identifier: GPL-2.0-only
"""The clauses of the contract, each with an id, a sentence, a source and a standing. Each test names its clauses."""

from __future__ import annotations

from helpers.contract.clauses import (
    access,
    calls,
    capability,
    concurrency,
    defaults,
    events,
    filter,
    history,
    left_behind,
    limits,
    lock,
    migration,
    model,
    neighbours,
    processes,
    quiet,
    run,
)
from helpers.contract.clauses.base import Clause, Standing

__all__ = ["CHAPTERS", "CLAUSES", "Clause", "Standing"]

CHAPTERS = {
    "capability": capability.CLAUSES,
    "defaults": defaults.CLAUSES,
    "limits": limits.CLAUSES,
    "hypercalls": calls.CLAUSES,
    "lock": lock.CLAUSES,
    "run": run.CLAUSES,
    "access": access.CLAUSES,
    "filter": filter.CLAUSES,
    "quiet": quiet.CLAUSES,
    "neighbours": neighbours.CLAUSES,
    "events": events.CLAUSES,
    "processes": processes.CLAUSES,
    "history": history.CLAUSES,
    "left_behind": left_behind.CLAUSES,
    "migration": migration.CLAUSES,
    "model": model.CLAUSES,
    "concurrency": concurrency.CLAUSES,
}
"""By the folder of suites/ that has their tests. Later chapters build on earlier ones."""

CLAUSES: dict[str, Clause] = {clause.id: clause for chapter in CHAPTERS.values() for clause in chapter}
