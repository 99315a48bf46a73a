# SPDX-License-Identifier: GPL-2.0-only
"""The suite's pytest: its options, its fixtures, what each result carries, and the reports."""

# An order in which each comes before those that import it: pytest rewrites assertions only in what it imports itself.
pytest_plugins = (
    "helpers.plugin.options",
    "helpers.plugin.session",
    "helpers.plugin.subject_fixtures",
    "helpers.plugin.discovery_fixtures",
    "helpers.plugin.items",
)
