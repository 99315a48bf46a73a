# SPDX-License-Identifier: GPL-2.0-only
"""Compares docs/architecture.md with the imports."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT, imports_of

PAGE = ROOT / "docs/architecture.md"
PRIVATE = ("_", "test_", "pytest_", "main")
TOPS = ("helpers", "suites", "faults", "tests", "tools")
SOURCES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))


@cache
def drawn() -> dict[str, set[str]]:
    """The imports that the page allows for each place, in its order."""
    places: dict[str, set[str]] = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| `"):
            place, _, imports = line.split("|")[1:4]
            above = imports.strip() == "everything above"
            places[place.strip(" `")] = set(places) if above else set(re.findall(r"`([^`]+)`", imports))
    return places


def place_of(module: str) -> str:
    """The page's most specific place of a module, a path without suffix."""
    parts = module.split("/")
    names = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in drawn()), module)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_page(path: Path) -> None:
    place = place_of(str(path.relative_to(ROOT).with_suffix("")))
    modules = (module for module in imports_of(path) if module.split(".")[0] in TOPS)
    beyond = {place_of(module.replace(".", "/")) for module in modules} - {place} - drawn().get(place, set())
    assert not beyond, f"{path.relative_to(ROOT)} ({place}) may not import {sorted(beyond)}: see docs/architecture.md"


def test_no_place_imports_one_below_it() -> None:
    order = list(drawn())
    assert len(order) > 10
    for place, imports in drawn().items():
        below = [each for each in imports if order.index(each) >= order.index(place)]
        assert not below, f"{place} imports {below}, which the page shows below it"


def test_every_folder_has_one_line() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {str(Path(name).parent) for name in tracked} - {".", ".ci", "helpers"}
    listed = [*drawn(), *re.findall(r"^- `([^`]+)`: ", PAGE.read_text("utf-8"), re.MULTILINE)]
    assert sorted(each for each in listed if (ROOT / each).is_dir()) == sorted(folders)


def test_no_two_things_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text("utf-8")).body if path.relative_to(ROOT).parts[0] != "tests" else []:
            # Programs may each have a main().
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith(PRIVATE):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 300
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
