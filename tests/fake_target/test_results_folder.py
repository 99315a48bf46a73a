# SPDX-License-Identifier: GPL-2.0-only
"""Two sessions at the same time: each has a folder for its reports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.errors import UsageError
from helpers.recording.folder import claim
from tests.support import ROOT

HOLD = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from helpers.recording.folder import claim
print(claim(Path(sys.argv[1]), asked=False), flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_folder_belongs_to_one_session_while_that_lives(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    with holder(folder) as first, holder(folder) as second:
        assert first.stdout and second.stdout
        assert {first.stdout.readline().strip(), second.stdout.readline().strip()} == {
            str(folder), str(folder / "session-2"),
        }  # fmt: skip
        assert claim(folder, asked=False) == folder / "session-3"
        with pytest.raises(UsageError, match=r"Another session writes its reports to .*reports\. Give .*--reports"):
            claim(folder, asked=True)
        first.kill()
        second.kill()
    assert claim(folder, asked=True) == folder


def test_what_cannot_be_made_is_left_to_those_who_write_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert claim(tmp_path / "file", asked=True) == tmp_path / "file"
