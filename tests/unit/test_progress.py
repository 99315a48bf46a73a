# SPDX-License-Identifier: GPL-2.0-only
"""Progress messages of long steps."""

from __future__ import annotations

import os
import pty
import termios
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


def test_a_line_on_a_terminal_is_renewed_and_cut() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 20))
    with Progress(theirs).renewing(lambda seconds: f"{seconds:.0f} s {'x' * 100}"):
        time.sleep(1.5)
    text = ""
    while text.count("\r\x1b[K") < 2:
        text += os.read(ours, 4096).decode()
    assert text == f"\r\x1b[K1 s {'x' * 15}\r\x1b[K"
