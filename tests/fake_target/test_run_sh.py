# SPDX-License-Identifier: GPL-2.0-only
"""run.sh: kselftest's statuses from pytest's and the log's, which must agree; a stand-in writes the log."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from helpers.results.records import FAILED, NOT_MEASURED, PASSED, SubjectInfo, UnknownService
from tests.support import ROOT
from tests.support.reports import STABLE, log_of, result, write_log
from tests.support.sessions import wait_for

UNMEASURED = log_of(result(PASSED, "test_c"), result(NOT_MEASURED, "test_d"))
GOOD, BAD = log_of(result(PASSED, "test_c")), log_of(result(FAILED, "test_c"))


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
    "conformant": GOOD,
    "failed": BAD,
    "broken off": replace(GOOD, status=None),
    "no registers": log_of(result(PASSED, "test_c"), dialect="none"),
    "not measured": UNMEASURED,
    "strict": replace(UNMEASURED, session=replace(UNMEASURED.session, strict=True)),
    "newer": log_of(
        result(PASSED, "test_d"),
        infos=(SubjectInfo(STABLE, "mainline", unknown=(UnknownService("PSCI:1.4", "PSCI 1.4"),)),),
    ),
}


STATUSES = {
    "conformant": {0: 0, 1: 1, 3: 1, 5: 1, 137: 1},
    "failed": {1: 1, 0: 1},
    "broken off": {3: 1, 0: 1},
    "no registers": {5: 4, 0: 1},
    "not measured": {0: 0, 3: 1},
    "strict": {3: 1, 0: 1},
    "newer": {6: 4, 0: 1},
}
"""For each log: pytest's status to that of run.sh."""


@pytest.mark.parametrize(("log", "run"), [(log, run) for log, statuses in STATUSES.items() for run in statuses])
def test_statuses(log: str, run: int, folder: Folder) -> None:
    write_log(folder.root / "given", LOGS[log])
    folder.pytest(f"echo CONFORMANT; cp given reports/results.jsonl; exit {run}")
    status, text = folder.run()
    assert status == STATUSES[log][run]
    assert text.startswith("KTAP version 1\n1..1\n  KTAP version 1\n") and "CONFORMANT\n" not in text


def test_the_log_of_an_earlier_run_does_not_count(folder: Folder) -> None:
    write_log(folder.root / "reports/results.jsonl", GOOD)
    folder.pytest("exit 0")
    status, text = folder.run()
    assert (status, text) == (1, "KTAP version 1\nBail out! pytest ended with status 0 and wrote no results log\n")


@pytest.mark.parametrize("arguments", [("--reports=deep/er",), ("--reports", "deep/er")], ids=str)
def test_another_folder_for_the_reports(arguments: tuple[str, ...], folder: Folder) -> None:
    write_log(folder.root / "deep/er/results.jsonl", BAD)
    write_log(folder.root / "given", GOOD)
    folder.pytest(f'[ "$*" = "{" ".join(arguments)}" ] && cp given deep/er/results.jsonl')
    assert folder.run(*arguments)[0] == 0


def test_a_folder_that_is_not_named_is_named_for_pytest(folder: Folder) -> None:
    """pytest would take another one while a session runs in it, whose log would be the one to report."""
    write_log(folder.root / "given", GOOD)
    folder.pytest('[ "$*" = "-x --reports=reports" ] && cp given reports/results.jsonl')
    assert folder.run("-x")[0] == 0


def test_a_session_that_began_meanwhile_is_not_reported(folder: Folder) -> None:
    write_log(folder.root / "given", GOOD)
    folder.pytest("cp given reports/results.jsonl; exit 4")
    status, text = folder.run()
    assert status == 1 and text.startswith("KTAP version 1\nBail out! pytest refused its command line")


def test_the_log_of_a_session_that_runs_stays(folder: Folder) -> None:
    log = folder.root / "reports/results.jsonl"
    write_log(log, GOOD)
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
    write_log(folder.root / "given", replace(GOOD, status=None))
    folder.pytest("trap 'cp given reports/results.jsonl; exit 3' TERM\ntouch begun\nwhile :; do sleep 0.1; done")
    process = subprocess.Popen([folder.root / "run.sh"], stdout=subprocess.PIPE, text=True)
    wait_for((folder.root / "begun").exists, 30)
    os.kill(process.pid, signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "the results log breaks off" in text
