# SPDX-License-Identifier: GPL-2.0-only
"""A real board, with a real sshd and Debian's userland."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from helpers import build
from helpers.errors import HarnessError
from helpers.executor.program import Program
from helpers.progress import Progress
from helpers.results.log import read_log
from helpers.subjects.base import KernelDied
from helpers.subjects.board import Board
from helpers.subjects.remote import Remote
from tests.support.board_vm import BoardVm
from tests.support.sessions import run_pytest


def _session(where: str, reports: Path) -> dict[str, str]:
    """Outcomes by id of the chapters that are short."""
    chosen = ("suites/capability", "suites/lock", "--test-deadline=60")
    status, text = run_pytest("-q", where, f"--reports={reports}", *chosen)
    assert status == 0, text
    return {r.nodeid: r.outcome for r in read_log(reports / "results.jsonl").results}


def _remote(name: str, seconds: float = 60) -> contextlib.closing[Remote]:
    waiting = Progress().waiting
    return contextlib.closing(Remote(Board(name, build.INIT, waiting, start_seconds=seconds), waiting))


def _refusal(name: str) -> str:
    with _remote(name) as subject, pytest.raises(HarnessError) as caught:
        subject.start()
    return str(caught.value)


def _panics(name: str) -> None:
    with _remote(name, 240) as subject:
        program = Program()
        program.write(program.open("/proc/sysrq-trigger", os.O_WRONLY), b"c")
        with pytest.raises(KernelDied, match="the board rebooted"):
            subject.run(program)
        assert len(subject.run(Program()).results) == 0 and subject.generation == 2


def test_a_real_board(board: BoardVm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build_all()
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=":")
    over_ssh = _session("--board=member@board", tmp_path / "board")
    assert over_ssh and over_ssh == _session("--kernel=debian:stable", tmp_path / "qemu")
    with _remote("homeless@board") as homeless:
        homeless.start()
    left = subprocess.check_output(["ssh", "root@board", "find / -name '.khx*' 2>/dev/null"], text=True)
    assert left == ""
    assert "usermod -aG kvm" in _refusal("stranger@board")
    assert "No space left on device" in _refusal("crowded@board")
    board.ssh(tmp_path / "path", known=False)
    assert "host key is not known" in _refusal("member@board")
    board.ssh(tmp_path / "path", key=False)
    assert "none of this machine's keys" in _refusal("member@board")
    board.ssh(tmp_path / "path")
    _panics("root@board")
