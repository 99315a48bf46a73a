# SPDX-License-Identifier: GPL-2.0-only
"""Checks of Python and its packages. Uses the standard library only."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from helpers.doctor.diagnosis import Diagnosis, good, missing

ROOT = Path(__file__).resolve().parents[2]
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")
_BOUND = re.compile(r"(>=|<)\s*([0-9.]+)")


def python_version() -> Diagnosis:
    """This Python. ``__main__.py`` refuses versions before 3.11."""
    return good("Python", f"{platform.python_version()}, {sys.executable}")


def python_packages(root: Path = ROOT) -> Diagnosis:
    """The packages that pyproject.toml requires, or the metadata of the installed wheel."""
    name = "Python packages"
    requirements = _requirements(root)
    absent = [each for each in map(_name, requirements) if _version(each) is None]
    problems = [f"not installed for {sys.executable}: {', '.join(absent)}"] if absent else []
    problems += [problem for problem in map(_problem, requirements) if problem]
    if problems:
        checkout = (root / "pyproject.toml").exists()
        return missing(name, "; ".join(problems), "make setup" if checkout else "pip install kvm-hvc-conformance again")
    main = ("pytest", "pytest-xdist", "pytest-html")
    return good(name, ", ".join(f"{each} {version(each)}" for each in main))


def _requirements(root: Path) -> Sequence[str]:
    project = root / "pyproject.toml"
    if project.exists():
        return [str(each) for each in tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]]
    return requires("kvm-hvc-conformance") or []


def _name(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement)
    assert match, requirement
    return match[0]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _problem(requirement: str) -> str:
    """Why the installed version does not meet a requirement such as ``pytest>=9,<10``; "" if it does."""
    name = _name(requirement)
    actual = _version(name)
    if actual is None:
        return ""
    numbers = _numbers(actual)
    for operator, bound in _BOUND.findall(requirement):
        if (numbers >= _numbers(bound)) != (operator == ">="):
            return f"{name} {actual} does not meet {requirement}"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    leading = re.match(r"[0-9.]*", text)
    numbers = [int(each) for each in (leading[0] if leading else "").split(".") if each]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
