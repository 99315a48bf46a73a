# SPDX-License-Identifier: GPL-2.0-only
"""The public JSON schemas for GitHub's workflows and GitLab CI, which check-jsonschema ships, accept docs/ci."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

GITHUB = ["--builtin-schema", "vendor.github-workflows"]
GITLAB = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
RECIPES = [(GITHUB, "github.yml"), (GITLAB, "gitlab.yml")]


def accepted(schema: list[str], file: Path) -> bool:
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or "Schema validation errors" in done.stdout, done
    return done.returncode == 0


@pytest.mark.parametrize(("schema", "name"), RECIPES, ids=["github", "gitlab"])
def test_the_schema_accepts_the_recipe(schema: list[str], name: str) -> None:
    assert accepted(schema, ROOT / "docs/ci" / name)


@pytest.mark.parametrize(("schema", "name"), RECIPES, ids=["github", "gitlab"])
def test_the_schema_refuses_a_wrong_key(schema: list[str], name: str, tmp_path: Path) -> None:
    text = (ROOT / "docs/ci" / name).read_text("utf-8")
    (tmp_path / name).write_text(re.sub("^( *)needs:", r"\1needed: [x]\n\1needs:", text, flags=re.MULTILINE))
    assert not accepted(schema, tmp_path / name)
