# SPDX-License-Identifier: GPL-2.0-only
"""Which suite this is, and what it runs on: a result that cannot be repeated with the same suite proves little."""

from __future__ import annotations

import platform
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 10


def suite_version(root: Path = ROOT) -> str:
    """The project's version and, in a checkout, git's description of it."""
    number = _number(root)
    revision = _git_describe(root)
    return f"{number} ({revision})" if revision else number


def _number(root: Path) -> str:
    """A checkout has pyproject.toml; what a wheel installed, metadata made from it."""
    project = root / "pyproject.toml"
    if not project.exists():
        return version("kvm-hvc-conformance")
    return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])


def _git_describe(root: Path) -> str:
    """Empty outside of a checkout of its own: a folder above may belong to somebody else's repository."""
    if not (root / ".git").exists():
        return ""
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"git {done.stdout.strip()}" if done.returncode == 0 else ""


def suite_environment() -> dict[str, str]:
    """The suite and the programs that it runs with."""
    return {
        "suite": suite_version(),
        "Python": f"{platform.python_version()} on {platform.machine()}",
        "pytest": version("pytest"),
        "Hypothesis": version("hypothesis"),
    }
