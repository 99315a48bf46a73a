# SPDX-License-Identifier: GPL-2.0-only
"""The sign and the word for each state in the pages, so that none depends on colour. None: the test was not run."""

from __future__ import annotations

from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, OUTCOMES, PASSED
from helpers.results.verdict import VerdictKind

SIGNS = {PASSED: "✓", FAILED: "✗", ERROR: "!", NOT_MEASURED: "?", KNOWN: "≈", NOT_APPLICABLE: "-", None: "·"}
WORDS = {
    PASSED: "passed",
    FAILED: "failed",
    ERROR: "error",
    NOT_MEASURED: "not measured",
    KNOWN: "known deviation",
    NOT_APPLICABLE: "not applicable",
    None: "not run",
}
WORST_FIRST = OUTCOMES[::-1]
VERDICT_SIGNS = {
    VerdictKind.NON_CONFORMANT: "✗",
    VerdictKind.INCONCLUSIVE: "?",
    VerdictKind.NEWER: "+",
    VerdictKind.NOT_IMPLEMENTED: "-",
    VerdictKind.CONFORMANT: "✓",
}
"""Worst first."""
