# SPDX-License-Identifier: GPL-2.0-only
"""The versions of the suite and its environment, so that a result can be reproduced."""

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
    """From pyproject.toml in a checkout, else from the wheel's metadata."""
    project = root / "pyproject.toml"
    if not project.exists():
        return version("kvm-hvc-conformance")
    return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])


def _git_describe(root: Path) -> str:
    """Empty if ROOT has no .git: a parent folder may be another repository."""
    if not (root / ".git").exists():
        return ""
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")
    try:
        git = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"git {git.stdout.strip()}" if git.returncode == 0 else ""


def suite_environment() -> dict[str, str]:
    """The versions of the suite, Python and its packages."""
    return {
        "suite": suite_version(),
        "Python": f"{platform.python_version()} on {platform.machine()}",
        "pytest": version("pytest"),
    }
