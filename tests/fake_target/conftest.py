# SPDX-License-Identifier: GPL-2.0-only
"""Tests that start sessions, ssh or QEMU, each with a fake in the place of the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_qemu import FakeQemu
from tests.support.forks import ForkServer
from tests.support.throwaway import RecorderProject


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    forks = ForkServer()
    yield forks
    forks.close()


@pytest.fixture
def project(tmp_path: Path, server: ForkServer) -> RecorderProject:
    return RecorderProject(tmp_path, server)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    return FakeQemu(tmp_path, monkeypatch)
