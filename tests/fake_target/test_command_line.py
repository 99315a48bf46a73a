# SPDX-License-Identifier: GPL-2.0-only
"""The suite's own pytest, called in ways that boot nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.kernels import arm64_image
from tests.support.throwaway import environment


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    plugins = ("-p", "metadata", "-p", "html", "-p", "xdist", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *plugins, *arguments]
    options: dict[str, Any] = {"cwd": ROOT, "env": environment(), "timeout": 120}
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_wrong_kernel_is_wrong_usage(tmp_path: Path) -> None:
    done = _pytest(f"--kernel={tmp_path / 'none'}", f"--reports={tmp_path}")
    assert done.returncode == 4
    assert "none" in done.stderr and "Traceback" not in done.stderr + done.stdout


def test_collecting_boots_nothing(tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(b"no kernel")
    done = _pytest("--collect-only", "-q", f"--kernel={image}", f"--reports={tmp_path / 'r'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "suites/lock/test_lock.py::test_same_value" in done.stdout
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("seed", "line"), [([], r"model seed: \d+"), (["--model-seed=7"], "model seed: 7\n")])
def test_the_seed_is_told(seed: list[str], line: str) -> None:
    done = _pytest("--collect-only", "suites/model", "--model-steps=5", *seed)
    assert done.returncode == 0 and re.search(line, done.stdout), done.stdout


RERUNFAILURES = """
def pytest_addoption(parser):
    for name in ("--reruns", "--force-reruns"):
        parser.addoption(name, type=int)
    parser.addini("reruns", "of pytest-rerunfailures", default=None)
"""


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        (["--reruns=2"], "--reruns is"),
        (["--force-reruns=2"], "--force-reruns is"),
        (["-o", "reruns=2"], "reruns in pytest's configuration is"),
        (["--reruns=0"], None),
        (["-o", "reruns=2", "--reruns=0"], None),
        (["--reruns=2", "--collect-only"], None),
        (["--reruns=2", "tests/unit/test_about.py"], None),
    ],
)
def test_pytest_rerunfailures(
    arguments: list[str], source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the options of that plugin, which need not be installed."""
    (tmp_path / "reruns.py").write_text(RERUNFAILURES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "Image").write_bytes(arm64_image())
    kernel, reports = f"--kernel={tmp_path / 'Image'}", f"--reports={tmp_path / 'reports'}"
    done = _pytest("-p", "reruns", kernel, reports, "-k", "no_such_test", *arguments)
    assert (done.returncode == 4) is bool(source), done
    assert f"{source} not supported: the suite repeats a failed test once" in done.stderr or not source
    assert not (source and (tmp_path / "reports/results.jsonl").exists())
