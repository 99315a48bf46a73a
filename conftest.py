# SPDX-License-Identifier: GPL-2.0-only
"""The suite's pytest plugin; the order of its modules does not matter."""

pytest_plugins = (
    "helpers.plugin.options",
    "helpers.plugin.session",
    "helpers.plugin.subject_fixtures",
    "helpers.plugin.discovery_fixtures",
    "helpers.plugin.items",
    "helpers.plugin.deaths",
    "helpers.recording.not_measured",
    "helpers.recording.repeat",
)
