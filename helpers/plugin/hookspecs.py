# SPDX-License-Identifier: GPL-2.0-only
"""The suite's own pytest hooks, for plugins that plan a session differently, such as faults/plugin.py."""

from __future__ import annotations

import pytest


@pytest.hookspec(firstresult=True)
def pytest_hvc_parametrize(metafunc: pytest.Metafunc) -> bool | None:
    """Parametrise a test function over the subjects. Return True if that was done; then no other plugin is called."""


@pytest.hookspec(firstresult=True)
def pytest_hvc_wants_survey(config: pytest.Config) -> bool | None:
    """Whether the report needs the registers, services and build facts of each subject."""


@pytest.hookspec(firstresult=True)
def pytest_hvc_repeats_failure(item: pytest.Item) -> bool | None:
    """Whether a test that failed runs a second time, to detect flaky failures."""


@pytest.hookspec(firstresult=True)
def pytest_hvc_why_not_run(item: pytest.Item) -> str | None:
    """Why the test is not run, so that it has no result; None if it is run."""
