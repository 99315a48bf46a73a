# SPDX-License-Identifier: GPL-2.0-only
"""Tests that fetch validators and userlands from package registries, once, or need a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.board_vm import BoardVm, stable
from tools.browser import browser


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoardVm]:
    """A running board. The ssh that reaches it is in ``tmp_path / "path"``."""
    vm = BoardVm(*stable(), tmp_path)
    try:
        vm.ssh(tmp_path / "path")
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tmp_path / "path"), prepend=":")
            vm.wait()
        yield vm
    finally:
        vm.close()
