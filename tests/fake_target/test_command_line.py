# SPDX-License-Identifier: GPL-2.0-only
"""The suite's own pytest, called in ways that boot nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import build
from helpers.results.log import read_log
from helpers.results.verdict import verdicts
from tests.support import ROOT
from tests.support.kernels import arm64_image
from tests.support.throwaway import environment

NO_KVM = """
import os
from pathlib import Path
from types import SimpleNamespace
from helpers.subjects import local

local.platform = SimpleNamespace(machine=lambda: {machine!r})
local.DEVICE = Path({device!r})
os_open = os.open

def refuse(path, *arguments, **options):
    if path == local.DEVICE and local.DEVICE.exists():
        raise PermissionError(13, "Permission denied")
    return os_open(path, *arguments, **options)

os.open = refuse
"""
"""A plugin for a session on a machine whose KVM device is missing; one that exists is refused, also to root."""


def _pytest(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    plugins = ("-p", "metadata", "-p", "html", "-p", "xdist", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *plugins, *arguments]
    options: dict[str, Any] = {"cwd": ROOT, "env": environment() | {"PYTHONPATH": str(path)}, "timeout": 120}
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_wrong_kernel_is_wrong_usage(tmp_path: Path) -> None:
    done = _pytest(f"--kernel={tmp_path / 'none'}", f"--reports={tmp_path}")
    assert done.returncode == 4
    assert "none" in done.stderr and "Traceback" not in done.stderr + done.stdout


def test_words_that_do_not_end_are_wrong_usage(tmp_path: Path) -> None:
    done = _pytest("--qemu-args=-smp '4", f"--reports={tmp_path}")
    assert done.returncode == 4
    assert "cannot be split into words: No closing quotation" in done.stderr


def _on(machine: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "no_kvm.py").write_text(NO_KVM.format(machine=machine, device=str(folder / "kvm")))
    build.build_all()
    return _pytest("-p", "no_kvm", f"--reports={folder / 'reports'}", *arguments, path=folder)


MISSING = "kvm does not exist: this kernel has no KVM, or was not started at EL2. Use a kernel with KVM"
FORBIDDEN = "kvm may not be opened by this user: permission denied. Add the user to the group kvm"


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize("reason", [MISSING, FORBIDDEN], ids=["missing", "forbidden"])
def test_an_arm64_machine_without_usable_kvm(reason: str, mode: tuple[str, ...], tmp_path: Path) -> None:
    if reason == FORBIDDEN:
        (tmp_path / "kvm").touch()
    done = _on("aarch64", tmp_path, *mode)
    text = done.stdout + done.stderr
    assert done.returncode == 3, text
    line = text.splitlines()[-1]
    assert line.startswith("INCONCLUSIVE local: 0 failed, 0 passed, 0 not applicable, 0 errors"), line
    assert reason in line and "or test a kernel in QEMU with --kernel=debian:stable;" in line
    assert "Traceback" not in text
    (verdict,) = verdicts(read_log(tmp_path / "reports/results.jsonl"))
    assert verdict.line == line


def test_local_needs_an_arm64_machine(tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    done = _on("x86_64", tmp_path, "--kernel=local")
    text = done.stdout + done.stderr
    assert done.returncode == 4, text
    assert "--kernel=local needs an arm64 machine: this one is x86_64" in done.stderr
    assert "Traceback" not in text


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


QUIET = "suites/quiet"
"""The chapter that is collected fastest."""
OTHER_PLUGINS = """
def pytest_addoption(parser):
    for name in ("--reruns", "--force-reruns"):
        parser.addoption(name, type=int)
    parser.addini("reruns", "of pytest-rerunfailures", default=None)
    parser.addoption("--timeout-method", dest="timeout_method")
    parser.addini("timeout_method", "of pytest-timeout", default=None)
"""


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        (["--reruns=2", QUIET], "--reruns is"),
        (["--force-reruns=2", QUIET], "--force-reruns is"),
        (["-o", "reruns=2", QUIET], "reruns in pytest's configuration is"),
        (["--reruns=0", QUIET], None),
        (["-o", "reruns=2", "--reruns=0", QUIET], None),
        (["--reruns=2", "--collect-only", QUIET], None),
        (["--reruns=2", "tests/unit/test_about.py"], None),
        (["--timeout-method=thread", QUIET], "pytest-timeout's method thread is"),
        (["-o", "timeout_method=thread", QUIET], "pytest-timeout's method thread is"),
        (["-o", "timeout_method=thread", "--timeout-method=signal", QUIET], None),
        (["--timeout-method=thread", "-n", "1", QUIET], None),
    ],
)
def test_options_of_other_plugins(arguments: list[str], source: str | None, tmp_path: Path) -> None:
    """Of pytest-rerunfailures and pytest-timeout, which need not be installed."""
    (tmp_path / "reruns.py").write_text(OTHER_PLUGINS)
    (tmp_path / "Image").write_bytes(arm64_image())
    kernel, reports = f"--kernel={tmp_path / 'Image'}", f"--reports={tmp_path / 'reports'}"
    done = _pytest("-p", "reruns", kernel, reports, "-k", "no_such_test", *arguments, path=tmp_path)
    assert (done.returncode == 4) is bool(source), done
    assert f"{source} not supported: " in done.stderr or not source
    assert not (source and (tmp_path / "reports/results.jsonl").exists())
