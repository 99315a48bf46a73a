# SPDX-License-Identifier: GPL-2.0-only
"""Rules for the project's own sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from helpers import clause_table
from helpers.command.kvm_hvc_arguments import joined
from helpers.contract.clauses import CLAUSES, Standing
from helpers.contract.differences import DIFFERENCES
from helpers.errors import HarnessError
from helpers.recording import phases
from tests.support import ROOT, imports_of

TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("room", ["uapi", "executor", "kvm_program", "kvm", "smccc", "guests", "trace"])
def test_these_know_nothing_of_pytest(room: str) -> None:
    folder = ROOT / "helpers" / room
    for path in folder.glob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
        assert "pytest" not in path.read_text(), path


def _named_clauses() -> set[str]:
    clauses = set()
    for path in (ROOT / "suites").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.clause":
                clauses |= {ast.literal_eval(arg) for arg in node.args}
    return clauses


def test_the_sentence_of_complaints() -> None:
    """The recorder, which does not import the contract, has its own copy."""
    assert CLAUSES[phases.QUIET].text == phases._QUIET_REQUIREMENT


def test_every_clause_has_a_test_and_every_test_a_clause() -> None:
    assert _named_clauses() == set(CLAUSES)


def test_the_table_of_clauses_is_current() -> None:
    text = clause_table.TARGET.read_text("utf-8")
    assert text == clause_table.current(), "run python -m helpers.clause_table and commit docs/clauses.md"


def test_no_clause_of_the_table_is_empty() -> None:
    with pytest.raises(HarnessError, match=r"No test names .*LOCK-1"):
        clause_table.table({})


def test_differences_name_clauses_and_both_readings() -> None:
    assert len({each.id for each in DIFFERENCES}) == len(DIFFERENCES)
    for each in DIFFERENCES:
        assert set(each.clauses) <= set(CLAUSES) and each.documents and each.code and each.followed, each
    contradicted = ("LOCK-2", "LOCK-3", "PSCI-2", "PSCI-3", "ACCESS-2", "ACCESS-3", "ACCESS-7", "FILTER-5", "PVTIME-5")
    assert all(CLAUSES[each].standing is Standing.OBSERVED for each in contradicted)


def test_every_source_has_its_licence_line() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    sources = [ROOT / name for name in listed if name.endswith((".py", ".c", ".h", ".S", ".sh", ".ini", ".toml"))]
    without = [p for p in sources if p.exists() and "SPDX-License-Identifier: GPL-2.0-only" not in p.read_text()[:300]]
    assert sources and not without


def test_what_is_pinned_is_what_the_wheel_asks_for() -> None:
    lines = (ROOT / "requirements/run.txt").read_text().splitlines()
    pinned = dict(line.split()[0].split("==") for line in lines if "==" in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required = [
        Requirement(each) for each in (*project["project"]["dependencies"], *project["build-system"]["requires"])
    ]
    assert required
    for each in required:
        assert pinned[each.name] in each.specifier, each


def test_what_is_shipped_imports_what_the_wheel_asks_for() -> None:
    """And tests/conftest.py, which pytest reads if a value of an option of the suite looks like a test path to it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    required = {Requirement(each).name for each in project["project"]["dependencies"]}
    packages = packages_distributions()
    conftests = ROOT / "conftest.py", ROOT / "tests/conftest.py"
    for path in [*conftests, *(ROOT / "helpers").rglob("*.py"), *(ROOT / "suites").rglob("*.py")]:
        tops = {name.partition(".")[0] for name in imports_of(path)} - {"helpers", "suites", *sys.stdlib_module_names}
        # labgrid installs these two.
        for top in tops - {"labgrid", "pexpect"}:
            assert set(map(str.lower, packages[top])) & required, f"{path} imports {top}"


def test_pre_commit_has_the_checks_of_make_lint() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == recipe.replace("\t", "").splitlines()
    # With the names of changed files, a hook would check less than make lint.
    assert all(hook["pass_filenames"] is False for hook in local["hooks"])
    assert "\ncheck: lint\n" in (ROOT / "Makefile").read_text() and "make check" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--kernel", "/a", "-k", "x"], ["--kernel=/a", "-k", "x"]),
        (["--kernel=/a", "suites"], ["--kernel=/a", "suites"]),
        (["--reports", "d", "--kernel"], ["--reports=d", "--kernel"]),
    ],
)
def test_options_with_paths_are_joined(given: list[str], expected: list[str]) -> None:
    assert joined(given) == expected


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_test_imports_another(path: Path) -> None:
    """Shared code is in tests/support. That folder and the conftests import no test either."""
    shared = [name for name in imports_of(path) if name.split(".")[0] == "tests"]
    assert all(name.split(".")[1:2] in ([], ["support"]) for name in shared), shared


def test_each_kind_of_test_has_a_folder_with_its_conftest() -> None:
    folders = {path.parent.name for path in TESTS if path.name.startswith("test_")}
    assert folders == {"unit", "fake_target", "kernel", "external"}
    assert all((ROOT / "tests" / name / "conftest.py").exists() for name in folders)


@pytest.mark.parametrize("program", ["qemu-system-aarch64", "ssh"])
def test_a_unit_test_that_starts_a_subject_fails(program: str, traps: Path) -> None:
    """The fixture of tests/unit/conftest.py detects the start."""
    assert subprocess.run([program, "-version"], check=False).returncode == 1
    called = traps / "called"
    assert called.read_text() == f"{program}\n"
    # This start is the test's own.
    called.unlink()
