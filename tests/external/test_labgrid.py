# SPDX-License-Identifier: GPL-2.0-only
"""labgrid's targets as subjects, for real: booted by its QEMUDriver, and given by a coordinator on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.identity import Reach, SubjectId
from helpers.results.log import read_log
from helpers.results.records import NOT_APPLICABLE, PASSED
from tests.support import ROOT
from tests.support.board_vm import BoardVm, files, free_port, stable
from tests.support.sessions import GOOD, Project, run_pytest

ENVIRONMENTS = ROOT / "docs/labgrid"
REQUIREMENTS = ROOT / "requirements/labgrid.txt"
CHOSEN = ("suites/capability", "suites/defaults", "--test-deadline=60")


@pytest.fixture(scope="module")
def labgrid() -> Path:
    """The folder with labgrid, beside which the packages of .venv are used."""
    place = ROOT / ".build" / f"labgrid-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    if not place.exists():
        half = place.with_name(f"{place.name}.{os.getpid()}")
        command = ["-m", "pip", "install", "-q", "--no-deps", f"--target={half}", "-r", str(REQUIREMENTS)]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        # Another session may have made it meanwhile.
        with contextlib.suppress(OSError):
            half.rename(place)
    return place


def _session(labgrid: Path, environment: Path, reports: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """A session on what ENVIRONMENT names: its exit status, and all that it printed."""
    words = (f"--lg-env={environment}", f"--reports={reports}", *arguments)
    return run_pytest(*words, PYTHONPATH=str(labgrid), **variables)


def test_a_kernel_that_labgrid_boots(labgrid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, root = stable()
    files(root, tmp_path)
    # A kernel that does not reboot by itself after a panic: labgrid has to switch it off and on.
    text = (ENVIRONMENTS / "qemu.yaml").read_text()
    assert "10022" in text and "panic=1" in text
    (tmp_path / "qemu.yaml").write_text(text.replace("10022", str(free_port())).replace("panic=1", "panic=0"))
    for name, path in {"KERNEL": kernel.image, "INITRD": tmp_path / "initrd", "KEY": tmp_path / "key"}.items():
        monkeypatch.setenv(f"LG_{name}", str(path))
    project = Project(tmp_path)
    project.path.append(labgrid)
    project.suite("def test_death(subject, kvm):\n    sysrq(subject, b'c')\n")
    status, text = project.run(f"--lg-env={tmp_path / 'qemu.yaml'}", "--test-deadline=15")
    assert project.outcomes() == {**GOOD, "test_death": "failed"}, text
    assert status == 1
    assert "Kernel panic - not syncing: sysrq triggered crash" in project.results()["test_death"].message
    (subject,) = project.log.subjects
    assert subject.subject == SubjectId("qemu", Reach.LABGRID)
    assert subject.environment["runs on"] == "qemu of qemu.yaml, by labgrid"


class Lab:
    """A coordinator and an exporter with one board, as in any lab, on loopback."""

    def __init__(self, labgrid: Path, folder: Path, port: int) -> None:
        self._labgrid, self._folder = labgrid, folder
        folder.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        service = f"{{address: 127.0.0.1, port: {port}, username: member}}"
        (folder / "exporter.yaml").write_text(f"rack:\n  NetworkService: {service}\n")
        self._processes = [self._start("coordinator", "-l", self.address)]
        self._until("who")
        self._processes.append(self._start("exporter", "-c", self.address, "--name", "here", "exporter.yaml"))

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[Any]:
        output = (self._folder / program).open("wb")
        with output:
            options: dict[str, Any] = {"cwd": self._folder, "env": self._environment()}
            words = [str(self._labgrid / "bin" / f"labgrid-{program}"), *arguments]
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self._labgrid), "LG_COORDINATOR": self.address}

    def client(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        words = [str(self._labgrid / "bin/labgrid-client"), *arguments]
        options: dict[str, Any] = {"cwd": self._folder, "env": {**self._environment(), **variables}, "timeout": 120}
        return subprocess.run(words, capture_output=True, text=True, check=False, **options)

    def done(self, *arguments: str, **variables: str) -> str:
        done = self.client(*arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _until(self, *arguments: str, holds: str = "") -> None:
        until = time.monotonic() + 60
        while True:
            done = self.client(*arguments)
            if done.returncode == 0 and holds in done.stdout:
                return
            assert time.monotonic() < until, done.stdout + done.stderr
            time.sleep(0.5)

    def reserve(self) -> str:
        """The token of a reservation for the board, whose place is made for it."""
        self._until("resources", holds="here/rack/NetworkService")
        self.done("-p", "rock5", "create")
        self.done("-p", "rock5", "add-match", "here/rack/NetworkService")
        self.done("-p", "rock5", "set-tags", "kvm=arm64")
        text = self.done("reserve", "--wait", "--shell", "kvm=arm64")
        return text.partition("LG_TOKEN=")[2].split()[0]

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_a_place_that_a_coordinator_gives(labgrid: Path, board: BoardVm, tmp_path: Path) -> None:
    place = ENVIRONMENTS / "place.yaml"
    with contextlib.closing(Lab(labgrid, tmp_path / "lab", board.port)) as lab:
        token = lab.reserve()
        variables = {"LG_PLACE": "+", "LG_TOKEN": token, "LG_COORDINATOR": lab.address}
        variables["LG_KEY"] = str(tmp_path / "key")
        status, text = _session(labgrid, place, tmp_path / "early", *CHOSEN, **variables)
        assert status == 3 and "Acquire its place" in text and "Traceback" not in text, text
        lab.done("-p", "+", "acquire", LG_TOKEN=token)
        status, text = _session(labgrid, place, tmp_path / "reports", *CHOSEN, **variables)
        lab.done("-p", "+", "release", LG_TOKEN=token)
    assert status == 0, text
    log = read_log(tmp_path / "reports/results.jsonl")
    assert {result.subject for result in log.results} == {SubjectId("board", Reach.LABGRID)}
    outcomes = {result.outcome for result in log.results}
    assert PASSED in outcomes and outcomes <= {PASSED, NOT_APPLICABLE}


WRONG = {
    "no such file": ("", (), "The labgrid environment .* cannot be used"),
    "no YAML": ("targets: [", (), "The labgrid environment .* cannot be used"),
    "workers": ("targets: {a: {}}\n", ("-n", "2"), "run with -n 0"),
}


@pytest.mark.parametrize("how", WRONG)
def test_wrong_usage(how: str, labgrid: Path, tmp_path: Path) -> None:
    text, arguments, message = WRONG[how]
    if text:
        (tmp_path / "environment.yaml").write_text(text)
    status, text = _session(labgrid, tmp_path / "environment.yaml", tmp_path / "reports", *arguments)
    assert status == 4 and "Traceback" not in text, text
    assert re.search(message, text), text
