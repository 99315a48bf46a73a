# SPDX-License-Identifier: GPL-2.0-only
"""The recipes of docs/ci name existing options, subcommands, make targets and files."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.results.verdict import VerdictKind
from tests.support import ROOT
from tests.support.commands import calls_in, unknown_words

FOLDER = ROOT / "docs/ci"
KCIDB = {"KCIDB_URL": "https://db.example.org/", "KCIDB_TOKEN": "secret"}
RECIPES = ("github.yml", "gitlab.yml", "Jenkinsfile", "kernelci.sh", "../../lava/kvm-hvc.yaml")


def scripts(name: str) -> Iterator[str]:
    """The shell scripts of a recipe."""
    text = (FOLDER / name).read_text("utf-8")
    if name == "Jenkinsfile":
        yield from re.findall(r"'''(.*?)'''", text, re.DOTALL)
    elif name.endswith(".sh"):
        yield text
    else:
        yield from _values(yaml.safe_load(text))


def _values(node: Any, name: str = "") -> Iterator[str]:
    """The scripts in a YAML document: GitHub's run, GitLab's script and before_script, LAVA's steps."""
    if isinstance(node, str) and name in ("run", "script", "before_script", "steps"):
        yield node
    for key, each in node.items() if isinstance(node, dict) else ():
        yield from _values(each, key)
    for each in node if isinstance(node, list) else ():
        yield from _values(each, name)


@pytest.mark.parametrize("name", RECIPES, ids=lambda name: Path(name).name)
def test_every_command_of_a_recipe_exists(name: str) -> None:
    calls = [call for script in scripts(name) for call in calls_in(script)]
    assert any(tool != "make" and arguments for tool, arguments in calls), calls
    assert [words for call in calls if (words := unknown_words(*call))] == []


@pytest.mark.parametrize(
    ("tool", "line", "unknown"),
    [
        ("make", "-C suite setup frob", ["frob"]),
        ("pytest", "--kernel=Image --frob=1 -n 2", ["--frob"]),
        ("kvm-hvc-conformance", "report --ktap=- --frob log", ["--frob"]),
        ("kvm-hvc-conformance", "frob log", ["frob"]),
    ],
)
def test_a_word_that_does_not_exist(tool: str, line: str, unknown: list[str]) -> None:
    assert unknown_words(tool, line.split()) == unknown


def test_the_recipes_are_all_in_the_table() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert set(re.findall(r"\]\((?!\.)([\w.]+)\)", page)) >= files


def test_the_statuses_of_the_page() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([A-Z-]+) \| (\d) \|", page, re.MULTILINE))
    assert rows == {kind.value: str(kind.status) for kind in VerdictKind}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs in the place of the suite, which ends with $STATUS, and of curl, which keeps its input."""
    suite = """#!/bin/sh
        mkdir -p reports
        [ "$1" = report ] && echo CONFORMANT >&2
        for each; do case $each in --kcidb=*) echo {} >"${each#--kcidb=}" ;; esac; done
        exit "$STATUS"
    """
    curl = """#!/bin/sh
        printf '%s\\n' "$@" >curl.txt
        exit "${CURL:-0}"
    """
    for name, text in ((".venv/bin/kvm-hvc-conformance", suite), ("bin/curl", curl)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path


def run(checkout: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    suite = {"GITHUB_STEP_SUMMARY": str(checkout / "summary"), "KCIDB_ORIGIN": "example"}
    environment = {**os.environ, **suite, **variables}
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("status", "job"), [(0, 0), (1, 1), (3, 3), (4, 4), (5, 0), (6, 0)])
def test_the_status_of_a_github_job(status: int, job: int, checkout: Path) -> None:
    script = next(each for each in scripts("github.yml") if "report" in each)
    done = run(checkout, "bash", "-e", "-c", script, STATUS=str(status))
    assert done.returncode == job, done
    assert (checkout / "summary").read_text() == "CONFORMANT\n"
    assert ("::" in done.stdout) == (status in (3, 5, 6))


@pytest.mark.parametrize("status", [0, 1, 3, 5, 6])
def test_a_submission_to_kernelci(status: int, checkout: Path) -> None:
    recipe = str(FOLDER / "kernelci.sh")
    done = run(checkout, recipe, "Image", STATUS=str(status))
    assert done.returncode == status and not (checkout / "curl.txt").exists(), done
    done = run(checkout, recipe, "Image", "--build=x:1", STATUS=str(status), **KCIDB)
    words = (checkout / "curl.txt").read_text().splitlines()
    assert done.returncode == status and words[-1] == "https://db.example.org/submit", done
    assert "Authorization: Bearer secret" in words and "@reports/kcidb.json" in words
    assert run(checkout, recipe, "Image", STATUS=str(status), CURL="22", **KCIDB).returncode == 3


def test_wrong_usage_is_not_submitted(checkout: Path) -> None:
    done = run(checkout, str(FOLDER / "kernelci.sh"), "Image", STATUS="4", **KCIDB)
    assert done.returncode == 4 and not (checkout / "curl.txt").exists()


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        ([], {}, "usage: "),
        (["Image"], {"KCIDB_ORIGIN": ""}, "KCIDB_ORIGIN is not set"),
        (["Image"], {"KCIDB_URL": "https://db.example.org"}, "KCIDB_TOKEN is not set"),
    ],
)
def test_what_is_missing_is_reported_before_the_run(
    words: list[str], variables: dict[str, str], message: str, checkout: Path
) -> None:
    done = run(checkout, str(FOLDER / "kernelci.sh"), *words, STATUS="0", **variables)
    assert done.returncode == 4 and message in done.stderr, done
    assert not (checkout / "reports").exists()
