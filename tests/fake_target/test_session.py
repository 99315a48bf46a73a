# SPDX-License-Identifier: GPL-2.0-only
"""A session whose kernel does not boot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.fake_qemu import SILENCE, FakeQemu
from tests.support.kernels import arm64_image
from tests.support.sessions import Project


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_boot_that_stops_half_way(mode: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    FakeQemu(tmp_path / "bin", monkeypatch).does("print('Booting Linux', file=console)\n" + SILENCE)
    (tmp_path / "Image").write_bytes(arm64_image())
    project = Project(tmp_path)
    began = time.monotonic()
    status, text = project.run("--kernel=Image", "--boot-deadline=3", *mode, suite="")
    assert status == 3, text
    assert "did not start under QEMU: nothing was printed for" in text
    assert "Booting Linux" in text
    assert time.monotonic() - began < 30
