# SPDX-License-Identifier: GPL-2.0-only
"""A real board, with a real sshd and Debian's userland."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
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
from tests.support import ROOT
from tests.support.board_vm import BoardVm, stable

# --- a real board ------------------------------------------------------------


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoardVm]:
    made = BoardVm(*stable(), tmp_path)
    try:
        made.ssh(tmp_path / "path")
        monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=":")
        made.wait()
        yield made
    finally:
        made.close()


def _session(where: str, reports: Path) -> dict[str, str]:
    """Outcomes by id of the chapters that are short."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", where, f"--reports={reports}"]
    chosen = ["suites/capability", "suites/lock", "--test-deadline=60"]
    done = subprocess.run([*command, *chosen], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {r.nodeid: r.outcome for r in read_log(reports / "results.jsonl").results}


def _refusal(name: str) -> str:
    made = Remote(Board(name, build.INIT, Progress().waiting, start_seconds=60), Progress().waiting)
    with contextlib.closing(made), pytest.raises(HarnessError) as caught:
        made.start()
    return str(caught.value)


def _panics(name: str) -> None:
    waiting = Progress().waiting
    with contextlib.closing(Remote(Board(name, build.INIT, waiting, start_seconds=240), waiting)) as subject:
        program = Program()
        program.write(program.open("/proc/sysrq-trigger", os.O_WRONLY), b"c")
        with pytest.raises(KernelDied, match="the board rebooted"):
            subject.run(program)
        assert len(subject.run(Program()).results) == 0 and subject.generation == 2


def test_a_real_board(vm: BoardVm, tmp_path: Path) -> None:
    build.build_all()
    over_ssh = _session("--board=member@board", tmp_path / "board")
    assert over_ssh and over_ssh == _session("--kernel=debian:stable", tmp_path / "qemu")
    homeless = Remote(Board("homeless@board", build.INIT, Progress().waiting, start_seconds=60), Progress().waiting)
    with contextlib.closing(homeless):
        homeless.start()
    left = subprocess.check_output(["ssh", "root@board", "find / -name '.khx*' 2>/dev/null"], text=True)
    assert left == ""
    assert "usermod -aG kvm" in _refusal("stranger@board")
    assert "No space left on device" in _refusal("crowded@board")
    vm.ssh(tmp_path / "path", known=False)
    assert "host key is not known" in _refusal("member@board")
    vm.ssh(tmp_path / "path", key=False)
    assert "none of this machine's keys" in _refusal("member@board")
    vm.ssh(tmp_path / "path")
    _panics("root@board")
