# SPDX-License-Identifier: GPL-2.0-only
"""Progress messages of long steps."""

from __future__ import annotations

import os
import time

import pytest

from helpers import progress
from helpers.progress import Progress


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> tuple[int, Progress]:
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.05)
    ours, theirs = os.pipe()
    return ours, Progress(theirs)


def test_a_step_is_told_at_once_and_then_for_how_long(pipe: tuple[int, Progress]) -> None:
    ours, messages = pipe
    with messages.steps() as begin:
        begin("fetching the kernel")
        time.sleep(0.2)
        begin("unpacking it")
    time.sleep(0.1)
    lines = os.read(ours, 4096).decode().splitlines()
    assert lines[:2] == ["fetching the kernel", "fetching the kernel: 0 s"]
    assert lines[-1] == "unpacking it"


def test_waiting_is_told_now_and_then(pipe: tuple[int, Progress]) -> None:
    ours, messages = pipe
    with messages.waiting("booting debian:stable"):
        time.sleep(0.2)
    assert os.read(ours, 4096).decode().splitlines()[0] == "booting debian:stable: 0 s"
