# SPDX-License-Identifier: GPL-2.0-only
"""Runs sessions with the suite's own conftest.py on suites that a test writes, and inspects what they leave behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.results.log import read_log
from helpers.results.records import Log, Result
from tests.support import ROOT

KERNEL = "--kernel=debian:stable"

HEAD = """
import os, pathlib, signal, struct
import pytest
from helpers.executor.program import Program
pytestmark = pytest.mark.clause("CAP-1")
MAGIC = 0xfee1dead, 672274793
HALT, POWER_OFF = 0xcdef0123, 0x4321fedc
REBOOT = 142

def reboot(subject, how):
    program = Program()
    program.syscall(REBOOT, *MAGIC, how)
    subject.run(program)

def to_qemu(subject, sent):
    os.kill(subject._subject._machine.pid, sent)
    subject.run(Program())

def sysrq(subject, key):
    program = Program()
    fd = program.open("/proc/sysrq-trigger", os.O_WRONLY)
    program.write(fd, key)
    subject.run(program)

def test_before(make_vm):
    assert make_vm().vcpu.reg_list()
"""
TEST = "def test_{}(make_vm):\n    assert make_vm().vcpu.reg_list()\n"
TAIL = TEST.format("after") + TEST.format("long_after")
GOOD = {"test_before": "passed", "test_after": "passed", "test_long_after": "passed"}
MANY = "@pytest.mark.parametrize('n', range(2000))\ndef test_many(make_vm, n):\n    make_vm()\n"


def clean_environment() -> dict[str, str]:
    """The environment without the variables of a pytest session and of coverage."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}


def run_pytest(*arguments: str, **variables: str) -> tuple[int, str]:
    """Runs pytest in the checkout, without labgrid's variables. Returns the exit status and both output streams."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {k: v for k, v in clean_environment().items() if not k.startswith("LG_")} | variables
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    return done.returncode, done.stdout + done.stderr


class Project:
    """A folder with suites that a test writes, and the project's conftest.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = [ROOT]
        shutil.copytree(ROOT / "suites/support", folder / "suites/support")
        for name in ("conftest.py", "pytest.ini", "suites/conftest.py"):
            shutil.copyfile(ROOT / name, folder / name)

    def suite(self, text: str) -> None:
        (self.folder / "suites/test_it.py").write_text(HEAD + text + TAIL)

    def start(self, *arguments: str, terminal: int | None = None) -> subprocess.Popen[str]:
        """Starts a session in a separate process group, on the terminal if one is given."""
        environment = {**clean_environment(), "PYTHONPATH": ":".join(map(str, self.path))}
        # With setsid -c the terminal controls the session, so that closing the terminal sends SIGHUP.
        command = ["setsid", "-c"] if terminal is not None else []
        command += [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        out = subprocess.PIPE if terminal is None else terminal
        options: dict[str, Any] = {"cwd": self.folder, "env": environment, "start_new_session": terminal is None}
        stdin = subprocess.DEVNULL if terminal is None else terminal
        return subprocess.Popen(command, text=True, stdin=stdin, stdout=out, stderr=out, **options)

    def run(self, *arguments: str, suite: str | None = None) -> tuple[int, str]:
        """Runs SUITE, or the existing files if it is None. Returns the exit status and the text of both streams."""
        if suite is not None:
            self.suite(suite)
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert "Traceback" not in out + err and "INTERNALERROR" not in out + err, out + err
        return process.returncode, out + err

    @property
    def log(self) -> Log:
        return read_log(self.folder / "reports/results.jsonl")

    def outcomes(self) -> dict[str, str]:
        return {name: result.outcome for name, result in self.results().items()}

    def results(self) -> dict[str, Result]:
        return {r.nodeid.rpartition("::")[2]: r for r in self.log.results}


def strays(folder: Path) -> list[str]:
    done = subprocess.run(["pgrep", "-f", f"^qemu.*{folder}|/qemu-system.*{folder}"], capture_output=True, text=True)
    return done.stdout.split()


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.03)
    return condition()


def wait_for_results(project: Project, count: int = 4) -> None:
    log = project.folder / "reports/results.jsonl"
    assert wait_for(lambda: log.exists() and log.read_text().count('"record": "result"') >= count, 90), "no result"
