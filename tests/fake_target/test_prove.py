# SPDX-License-Identifier: GPL-2.0-only
"""``prove`` shows its progress on a terminal, and Ctrl-C ends it. A program takes the place of pytest."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.sessions import wait_for

# Ends after a signal, which takes a while, or at once after a second one.
PYTEST = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from helpers.identity import SubjectId
from helpers.results.log import LogWriter
from helpers.results.records import VERSION, Case, Session
here = Path(__file__).parent
def end(*_):
    time.sleep(0.5)
    (here / "ended").touch()
    os._exit(3)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN)
folder = next(Path(word.partition("=")[2]) for word in sys.argv if word.startswith("--reports="))
log = LogWriter(folder / "results.jsonl")
log.session(Session(VERSION, (), (), 0.0))
planted = Case("suites/a.py::test[1]", SubjectId("debian:stable", fault="cap-answered"))
log.collected([planted])
log.start(planted)
(here / "began").touch()
time.sleep(60)
"""
Prove = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def terminal() -> tuple[int, int]:
    return pty.openpty()


@pytest.fixture
def prove(tmp_path: Path, terminal: tuple[int, int]) -> Prove:
    """Starts a proof of one fault on the terminal, and waits until it has planted the fault."""
    (tmp_path / "pytest.py").write_text(PYTEST)

    def start() -> subprocess.Popen[bytes]:
        words = [
            sys.executable,
            "-m",
            "helpers.command",
            "prove",
            "--fault=cap-answered",
            f"--reports={tmp_path / 'r'}",
        ]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        options: dict[str, Any] = {"cwd": ROOT, "env": environment, "start_new_session": True}
        process = subprocess.Popen(words, stdout=terminal[1], stderr=terminal[1], **options)
        assert wait_for((tmp_path / "began").exists, 30)
        return process

    return start


def text_until(terminal: int, wanted: str, seconds: float = 20) -> str:
    """What the terminal shows, up to the text that is waited for."""
    text, deadline = "", time.monotonic() + seconds
    while wanted not in text and select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        text += os.read(terminal, 4096).decode()
    assert wanted in text, text
    return text


def test_one_line_is_renewed(prove: Prove, terminal: tuple[int, int]) -> None:
    process = prove()
    text = text_until(terminal[0], "1 of 1 faults planted, 0 detected; tests 0%; 2 s")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first, _, rest = text.partition("\r\n")
    assert first.startswith("planting ") and first.endswith(" in debian:stable, mainline dialect")
    assert "\n" not in rest and rest.count("\r\x1b[K") > 1


@pytest.mark.parametrize(
    ("number", "whole"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
    ids=["Ctrl-C", "kill -INT", "kill"],
)
def test_an_interrupt_ends_it(
    number: int, whole: bool, prove: Prove, terminal: tuple[int, int], tmp_path: Path
) -> None:
    process = prove()
    os.killpg(process.pid, number) if whole else process.send_signal(number)
    text = text_until(terminal[0], "INCONCLUSIVE: the proof was interrupted")
    assert process.wait(30) == 3 and "Traceback" not in text
    assert (tmp_path / "ended").exists(), "pytest had no time to end its machines"
