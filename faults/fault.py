# SPDX-License-Identifier: GPL-2.0-only
"""One fault of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

MAINLINE, RFC_V3 = "mainline", "rfc-v3"
CONTROL = "none"
"""The module's name for no planted fault."""
DETECTED = "the fault is detected by other tests"
"""Why a test is not run."""


@dataclass(frozen=True)
class Fault:
    """``clauses``: a test of each must fail; ``hooks``: the functions of KVM that the fault needs."""

    id: str
    breaks: str
    clauses: tuple[str, ...]
    hooks: tuple[str, ...]
    dialects: tuple[str, ...] = (MAINLINE,)


def rows(hooks: str, *table: tuple[str, str, str]) -> tuple[Fault, ...]:
    """Rows of (id, clauses, what it breaks) that share their hooks."""
    return tuple(Fault(name, breaks, tuple(clauses.split()), tuple(hooks.split())) for name, clauses, breaks in table)
