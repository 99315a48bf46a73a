# SPDX-License-Identifier: GPL-2.0-only
"""Tests that need neither a subject nor a session: they boot nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from helpers import build
from helpers.executor.native import Native

# No test depends on how fast the machine is.
settings.register_profile("harness", deadline=None)
settings.load_profile("harness")


@pytest.fixture(scope="session")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs in the place of QEMU and ssh that fail and leave a file ``called``."""
    folder = tmp_path_factory.mktemp("traps")
    for name in ("qemu-system-aarch64", "ssh"):
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {folder}/called\nexit 1\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def no_subject(traps: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that starts QEMU or ssh."""
    monkeypatch.setenv("PATH", str(traps), prepend=":")
    yield
    called = traps / "called"
    if called.exists():
        names = called.read_text().split()
        called.unlink()
        pytest.fail(f"A unit test started {', '.join(names)}. Move it to tests/fake_target or tests/kernel.")


@pytest.fixture(scope="session")
def native() -> Native:
    """The executor in this process."""
    build.build_all()
    return Native(build.NATIVE)


@pytest.fixture
def silent_pipe() -> Iterator[int]:
    """The read end of a pipe that nobody writes to."""
    ours, theirs = os.pipe()
    yield ours
    os.close(ours)
    os.close(theirs)
