# SPDX-License-Identifier: GPL-2.0-only
"""On a machine with few processors, xdist's workers wait while one of them runs a program that should run alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from helpers.plugin.choices import TURNS, TURNS_INPUT

ENOUGH = 4
"""Processors with which the workers do not wait."""
_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Creates the session's folder before the first worker starts."""
    if len(os.sched_getaffinity(0)) >= ENOUGH:
        return
    if _FOLDER not in node.config.stash:
        node.config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="kvm-hvc-turns-"))
    node.workerinput[TURNS_INPUT] = str(node.config.stash[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the session's folder."""
    if _FOLDER in config.stash:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """The duration of a test is without the time for which it waited."""
    report = yield
    if (turns := item.config.stash.get(TURNS, None)) is not None:
        report.duration = max(0.0, report.duration - turns.waited)
        turns.waited = 0.0
    return report
