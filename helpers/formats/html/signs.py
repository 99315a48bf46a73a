# SPDX-License-Identifier: GPL-2.0-only
"""How the pages show a result: never by colour alone, every state has a sign and a word."""

from __future__ import annotations

from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, PASSED

SIGNS = {PASSED: "✓", FAILED: "✗", ERROR: "!", KNOWN: "≈", NOT_APPLICABLE: "-", None: "·"}
WORDS = {
    PASSED: "passed", FAILED: "failed", ERROR: "error", KNOWN: "known deviation", NOT_APPLICABLE: "not applicable",
    None: "not run",
}  # fmt: skip
WORST_FIRST = (FAILED, ERROR, KNOWN, NOT_APPLICABLE, PASSED)


def style_of(state: str | None) -> str:
    """The name of a state's style."""
    return state or "not-run"


def legend() -> str:
    """What the signs mean."""
    items = "".join(
        f'<li><span class="state {style_of(state)}">{sign}</span> {WORDS[state]}</li>' for state, sign in SIGNS.items()
    )
    return f'<ul class="legend" aria-label="Signs">{items}</ul>'
