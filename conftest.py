# SPDX-License-Identifier: GPL-2.0-only
"""The suite's pytest: its options, its fixtures, what each result carries, and the reports."""

# An order in which each comes before those that import it: pytest rewrites assertions only in what it imports itself.
pytest_plugins = (
    "helpers.wiring.options",
    "helpers.wiring.session",
    "helpers.wiring.subjects",
    "helpers.wiring.asked",
    "helpers.wiring.items",
)
