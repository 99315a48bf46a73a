# SPDX-License-Identifier: GPL-2.0-only
"""The files, modules and commands that the pages name exist."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from helpers.formats.ktap import ktap
from helpers.results.records import VERSION
from helpers.results.rows import Section
from tests.support import ROOT
from tests.support.commands import USER_PAGES, calls_in, unknown_words

CONTRIBUTORS = ("docs/contributing.md", "docs/executor.md", "docs/ci/README.md", "SECURITY.md", "CHANGELOG.md")
PAGES = (*CONTRIBUTORS, *USER_PAGES)
# The results of a run, a build or make setup, and paths on the machine of a board or a VM.
OUTPUT = ("reports/", "out/", "dist/", ".venv/", "~", "/", "http", "$")


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_files_in_the_text(page: str) -> None:
    names = {name for name in re.findall(r"`([\w.~$-]*/[\w./*-]*)`", text_of(page)) if not name.startswith(OUTPUT)}
    assert [name for name in sorted(names) if not any(ROOT.glob(name))] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text(page: str) -> None:
    text = text_of(page)
    lines = [line.strip() for line in text.splitlines() if re.match(r" {4,}(make|\.venv/bin/\S+) ", line)]
    lines += list(re.findall(r"`((?:make|kvm-hvc-conformance) [^`]+)`", text))
    calls = [call for line in lines for call in calls_in(line)]
    assert [words for call in calls if (words := unknown_words(*call))] == []


def test_modules_that_contributors_run() -> None:
    modules = {name.replace(".", "/") for name in re.findall(r"python -m ([\w.]+)", text_of("docs/contributing.md"))}
    assert len(modules) == 5
    assert all((ROOT / f"{name}.py").exists() or (ROOT / name / "__main__.py").exists() for name in modules)


def test_the_signature_of_a_format() -> None:
    """As in the section on report formats."""
    assert "def frob(sections: Sequence[Section]) -> str:" in text_of("docs/contributing.md")
    assert (
        ktap.__annotations__["sections"] == f"Sequence[{Section.__name__}]" and ktap.__annotations__["return"] == "str"
    )


@pytest.mark.parametrize("name", ["kernel", "harness", "host"])
def test_both_hosts_have_the_same_template(name: str) -> None:
    _, _, body = text_of(f".github/ISSUE_TEMPLATE/{name}.md").split("---\n", 2)
    assert text_of(f".gitlab/issue_templates/{name}.md") == body
    assert "attach `reports/results.jsonl`" in body


def test_both_hosts_have_the_same_template_for_changes() -> None:
    text = text_of(".github/PULL_REQUEST_TEMPLATE.md")
    assert text == text_of(".gitlab/merge_request_templates/Default.md")
    assert "attach `reports/results.jsonl`" in text


def test_the_changelog_has_the_current_version() -> None:
    """Its newest release is the version in pyproject.toml, as in the section on releases."""
    first, *released = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert first == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each) for each in released)
    assert not released or released[0].split()[0] == version
    assert ("No version has been released yet." in text_of("CHANGELOG.md")) == (not released)
    assert f"log has version {VERSION}" in text_of("CHANGELOG.md")
    tags = subprocess.run(
        ("git", "tag", "--points-at=HEAD", "v*"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert tags.stdout.split() in ([], [f"v{version}"])
