# SPDX-License-Identifier: GPL-2.0-only
"""One step of git bisect, called wrongly."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import ROOT
from tests.support.reports import good
from tests.support.sessions import clean_environment


def test_bisect_stops_at_wrong_usage(tmp_path: Path) -> None:
    environment = {**clean_environment(), "BUILD": "true", "KERNEL": "debian:stable"}
    step = ROOT / "tools/bisect-step.sh"
    log = str(good(tmp_path / "good.jsonl"))
    for arguments in ([], [str(tmp_path / "none")], [log, "--no-such-option"]):
        done = subprocess.run([step, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert done.returncode == 129, arguments
