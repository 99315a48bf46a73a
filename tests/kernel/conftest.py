# SPDX-License-Identifier: GPL-2.0-only
"""Tests that boot a kernel in QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import build
from helpers.identity import SubjectId
from helpers.subjects.base import Subject
from tests.support.sessions import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Suites of the test's own, run by the suite's conftest.py."""
    return Project(tmp_path)


@pytest.fixture(scope="module")
def warm() -> Iterator[dict[SubjectId, Subject]]:
    """The machines of a module's tests, which plant one fault after the other in them."""
    build.build_all()
    machines: dict[SubjectId, Subject] = {}
    yield machines
    for machine in machines.values():
        machine.close()
