# SPDX-License-Identifier: GPL-2.0-only
"""The suite's pytest plugin. The module of --services is the first one; the order of the others does not matter."""

pytest_plugins = (
    "helpers.plugin.services",
    "helpers.plugin.options",
    "helpers.plugin.session",
    "helpers.plugin.subject_fixtures",
    "helpers.plugin.discovery_fixtures",
    "helpers.plugin.items",
    "helpers.plugin.processors",
    "helpers.plugin.tier",
    "helpers.plugin.turns",
    "helpers.plugin.deaths",
    "helpers.recording.deselected",
    "helpers.recording.not_measured",
    "helpers.recording.repeat",
)
