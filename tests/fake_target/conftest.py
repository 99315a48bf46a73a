# SPDX-License-Identifier: GPL-2.0-only
"""Tests that start sessions, ssh or QEMU, each with a fake in the place of the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_qemu import FakeQemu
from tests.support.forks import ForkServer
from tests.support.throwaway import Project


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """What starts the sessions of ``project``."""
    made = ForkServer()
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path, server: ForkServer) -> Project:
    """A project of the test's own."""
    return Project(tmp_path, server)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    """A program in the place of QEMU."""
    return FakeQemu(tmp_path, monkeypatch)
