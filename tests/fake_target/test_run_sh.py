# SPDX-License-Identifier: GPL-2.0-only
"""run.sh: kselftest's statuses from pytest's and the log's, which must agree; a stand-in writes the log."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.identity import SubjectId
from helpers.results.log import LogWriter
from helpers.results.records import FAILED, PASSED, VERSION, Case, Result, Session, SubjectInfo
from tests.support import ROOT

SUBJECT = SubjectId("debian:stable")


def write(path: Path, outcome: str, *, dialect: str = "mainline", end: bool = True) -> None:
    case = Case("suites/a/test_b.py::test_c", SUBJECT)
    writer = LogWriter(path)
    writer.session(Session(VERSION, (), (SUBJECT,), 0.0))
    writer.collected([case])
    writer.subject(SubjectInfo(SUBJECT, dialect))
    writer.result(Result(case.nodeid, SUBJECT, outcome, ("A",)))
    if end:
        writer.end(0)
    writer.close()


@dataclass(frozen=True)
class Folder:
    """run.sh and what it needs, with a pytest that puts the log "given" in its place."""

    root: Path

    def pytest(self, script: str) -> None:
        path = self.root / ".venv/bin/pytest"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.root / "run.sh", *arguments], cwd="/", capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "reports").mkdir()
    python = tmp_path / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "helpers").symlink_to(ROOT / "helpers")
    shutil.copy(ROOT / "run.sh", tmp_path)
    return Folder(tmp_path)


LOGS = {
    "conformant": {"outcome": PASSED},
    "failed": {"outcome": FAILED},
    "broken off": {"outcome": PASSED, "end": False},
    "no registers": {"outcome": PASSED, "dialect": "none"},
}


@pytest.mark.parametrize(
    ("log", "run", "status"),
    [
        ("conformant", 0, 0),
        ("conformant", 1, 1),
        ("conformant", 3, 1),
        ("conformant", 5, 1),
        ("conformant", 137, 1),
        ("failed", 1, 1),
        ("failed", 0, 1),
        ("broken off", 3, 1),
        ("broken off", 0, 1),
        ("no registers", 5, 4),
        ("no registers", 0, 1),
    ],
)
def test_statuses(log: str, run: int, status: int, folder: Folder) -> None:
    write(folder.root / "given", **LOGS[log])  # type: ignore[arg-type]
    folder.pytest(f"echo CONFORMANT; cp given reports/results.jsonl; exit {run}")
    found, text = folder.run()
    assert found == status
    assert text.startswith("KTAP version 1\n1..1\n  KTAP version 1\n") and "CONFORMANT\n" not in text


def test_the_log_of_an_earlier_run_does_not_count(folder: Folder) -> None:
    write(folder.root / "reports/results.jsonl", PASSED)
    folder.pytest("exit 0")
    status, text = folder.run()
    assert (status, text) == (1, "KTAP version 1\nBail out! pytest ended with status 0 and wrote no results log\n")


@pytest.mark.parametrize("arguments", [("--reports=deep/er",), ("--reports", "deep/er")], ids=str)
def test_another_folder_for_the_reports(arguments: tuple[str, ...], folder: Folder) -> None:
    write(folder.root / "deep/er/results.jsonl", FAILED)
    write(folder.root / "given", PASSED)
    folder.pytest(f'[ "$*" = "{" ".join(arguments)}" ] && cp given deep/er/results.jsonl')
    assert folder.run(*arguments)[0] == 0


def test_a_folder_that_is_not_named_is_named_for_pytest(folder: Folder) -> None:
    """pytest would take another one while a session runs in it, whose log would be the one to report."""
    write(folder.root / "given", PASSED)
    folder.pytest('[ "$*" = "-x --reports=reports" ] && cp given reports/results.jsonl')
    assert folder.run("-x")[0] == 0


def test_a_session_that_began_meanwhile_is_not_reported(folder: Folder) -> None:
    write(folder.root / "given", PASSED)
    folder.pytest("cp given reports/results.jsonl; exit 4")
    status, text = folder.run()
    assert status == 1 and text.startswith("KTAP version 1\nBail out! pytest refused its command line")


def test_the_log_of_a_session_that_runs_stays(folder: Folder) -> None:
    log = folder.root / "reports/results.jsonl"
    write(log, PASSED)
    folder.pytest("exit 0")
    descriptor = os.open(log.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status, text = folder.run()
    finally:
        os.close(descriptor)
    assert status == 1 and "another session writes its reports to reports" in text and log.exists()


def test_without_setup(folder: Folder) -> None:
    status, text = folder.run()
    assert status == 1 and "make setup" in text


def test_a_signal_reaches_pytest(folder: Folder) -> None:
    """And what it still writes is reported, as kselftest's runner signals run.sh alone."""
    write(folder.root / "given", PASSED, end=False)
    folder.pytest("trap 'cp given reports/results.jsonl; exit 3' TERM\ntouch begun\nwhile :; do sleep 0.1; done")
    process = subprocess.Popen([folder.root / "run.sh"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not (folder.root / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "the results log breaks off" in text
