# SPDX-License-Identifier: GPL-2.0-only
"""How the pages show a state: a sign and a word, never colour alone. None is a test that was not run."""

from __future__ import annotations

from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED
from helpers.results.verdict import VerdictKind

SIGNS = {PASSED: "✓", FAILED: "✗", ERROR: "!", KNOWN: "≈", NOT_APPLICABLE: "-", None: "·"}
WORDS = {
    PASSED: "passed",
    FAILED: "failed",
    ERROR: "error",
    KNOWN: "known deviation",
    NOT_APPLICABLE: "not applicable",
    None: "not run",
}
WORST_FIRST = (FAILED, ERROR, KNOWN, NOT_APPLICABLE, PASSED)
VERDICT_SIGNS = {
    VerdictKind.NON_CONFORMANT: "✗",
    VerdictKind.INCONCLUSIVE: "?",
    VerdictKind.NOT_IMPLEMENTED: "-",
    VerdictKind.CONFORMANT: "✓",
}
"""Worst first."""
