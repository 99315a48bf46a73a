# SPDX-License-Identifier: GPL-2.0-only
"""git bisect finds a planted regression."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.sessions import run_pytest

KERNEL, SELECTION = "debian:stable", "test_change and STD and not STD_HYP"
COMMITS, FIRST_BAD = 5, 3


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """git in a repository of its own, whatever the person's settings are."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "PYTEST_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    folder = tmp_path / "tree"
    folder.mkdir()

    def run(*words: str, status: int = 0) -> str:
        person = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", *person, *words], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    run("init", "-q", "-b", "main")
    return run


def test_bisect_finds_a_planted_regression(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit's kernel is Debian's, from one of them on with a fault; one does not build, and is skipped."""
    tree, commits = tmp_path / "tree", []
    for number in range(COMMITS):
        # pytest reads arguments from a file that is given with an @.
        (tree / "arguments").write_text("--plant=lock-missing\n" if number >= FIRST_BAD else "")
        (tree / "build").write_text(f"exit {int(number == 1)}  # {number}\n")
        git("add", ".")
        git("commit", "-q", "-m", f"commit {number}")
        commits.append(git("rev-parse", "HEAD").strip())
    status, text = run_pytest(f"--kernel={KERNEL}", f"--reports={tmp_path / 'good'}", "-q", "-k", SELECTION)
    assert status == 0, text
    monkeypatch.setenv("KERNEL", KERNEL)
    monkeypatch.setenv("BUILD", "bash ./build")
    git("bisect", "start", commits[-1], commits[0])
    step = [str(ROOT / "tools/bisect-step.sh"), str(tmp_path / "good/results.jsonl")]
    shown = git("bisect", "run", *step, f"@{tree}/arguments", "-q", "-k", SELECTION)
    assert re.search(f"^{commits[FIRST_BAD]} is the first bad commit", shown, re.MULTILINE), shown
    assert "LOCK-1" in shown and "-> " in shown
