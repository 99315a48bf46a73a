# SPDX-License-Identifier: GPL-2.0-only
"""Two sessions at the same time: each has a folder for its reports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.errors import UsageError
from helpers.recording.folder import claim, without_session
from helpers.results.records import PASSED
from tests.support import ROOT
from tests.support.reports import result, write
from tests.support.sessions import wait_for

HOLD = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from helpers.recording.folder import claim
print(claim(Path(sys.argv[1]), asked=False), flush=True)
sys.stdin.read()
"""
LOG = '{"record": "session"} of the session that runs'


def holder(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_folder_belongs_to_one_session_while_that_lives(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    with holder(folder) as first, holder(folder) as second:
        claims = {session.stdout.readline().strip() for session in (first, second) if session.stdout}
        assert claims == {str(folder), str(folder / "session-2")}
        assert claim(folder, asked=False) == folder / "session-3"
        with pytest.raises(UsageError, match=r"Another session writes its reports to .*reports\. Give .*--reports"):
            claim(folder, asked=True)
        first.kill()
        second.kill()
    assert claim(folder, asked=True) == folder


def test_what_cannot_be_made_is_left_to_those_who_write_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert claim(tmp_path / "file", asked=True) == tmp_path / "file"


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "reports"
    with holder(folder) as session:
        assert session.stdout and session.stdout.readline()
        (folder / "results.jsonl").write_text(LOG)
        yield folder
        session.kill()
    assert (folder / "results.jsonl").read_text() == LOG


@pytest.mark.parametrize("name", ["report.html", "results.jsonl", "new"])
def test_no_report_is_written_where_a_session_runs(name: str, reports: Path, tmp_path: Path) -> None:
    log = write(tmp_path / "log", result(PASSED, "test_a"))
    before = sorted(reports.iterdir())
    done = command("report", f"--html={reports / name}", str(log))
    assert done.returncode == 4 and f"A session writes its reports to {reports}. Wait" in done.stderr
    done = command("diff", f"--html={reports / name}", str(log), str(log))
    assert done.returncode == 129 and f"A session writes its reports to {reports}. Wait" in done.stderr
    assert sorted(reports.iterdir()) == before
    assert command("report", f"--html={tmp_path / name}", str(log)).returncode == 0


def test_two_commands_may_write_at_once(tmp_path: Path) -> None:
    with without_session(tmp_path), without_session(tmp_path), pytest.raises(UsageError):
        claim(tmp_path, asked=True)
    assert claim(tmp_path, asked=True) == tmp_path


def command(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "helpers.command", *words]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


# Instead of pytest: a session that lasts until the file ``end`` exists.
PYTEST = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from helpers.errors import UsageError
from helpers.recording.folder import claim
from helpers.results.log import LogWriter
from helpers.results.records import VERSION, Session
folder = next(Path(word.partition("=")[2]) for word in sys.argv if word.startswith("--reports="))
try:
    claim(folder, asked=True)
except UsageError as error:
    sys.exit(4)
print("began", flush=True)
log = LogWriter(folder / "results.jsonl")
log.session(Session(VERSION, (), (), 0.0))
while not Path(__file__).with_name("end").exists():
    time.sleep(0.05)
log.end(0)
log.close()
"""


def test_a_second_proof_leaves_the_first_alone(tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text(PYTEST)
    words = [sys.executable, "-m", "helpers.command", "prove", "--fault=cap-answered", f"--reports={tmp_path / 'r'}"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    pipe = subprocess.PIPE
    first = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
    wait_for(lambda: bool(list(tmp_path.glob("r/**/results.jsonl"))), 30)
    second = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    (tmp_path / "end").touch()
    out, errors = first.communicate(timeout=60)
    assert second.returncode == 4 and f"Another session writes its reports to {tmp_path / 'r'}" in second.stderr
    # Its log has no results.
    assert first.returncode == 1 and out.splitlines()[-1].startswith("NOT PROVED"), out + errors
    assert [path.read_text() for path in tmp_path.glob("r/**/pytest.txt")] == ["began\n"]
