# SPDX-License-Identifier: GPL-2.0-only
"""LAVA: its own schemas take the test definition, its own dispatcher reads the signals, and no name is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from helpers.command.report import main
from tests.support.lavacheck import definition, matched, validated
from tests.support.reports import LOGS

SIGNAL = re.compile("<LAVA_SIGNAL_TESTCASE (.*)>")


def job(test: dict[str, Any]) -> dict[str, Any]:
    """One that boots a kernel on a device and runs the definition, from git and in line."""
    git = {"repository": "https://example.org/a.git", "from": "git", "path": "lava/kvm-hvc.yaml", "name": "kvm-hvc"}
    inline = {"repository": test, "from": "inline", "path": "kvm-hvc.yaml", "name": "in-line"}
    minutes = {"minutes": 30}
    return {
        "job_name": "kvm-hvc",
        "device_type": "juno",
        "visibility": "public",
        "timeouts": {"job": minutes, "action": minutes},
        "actions": [
            {"deploy": {"to": "tftp", "kernel": {"url": "https://example.org/Image", "type": "image"}}},
            {"boot": {"method": "u-boot", "commands": "nfs", "prompts": ["#"]}},
            {"test": {"timeout": minutes, "definitions": [git, inline]}},
        ],
    }


def test_lava_takes_the_definition() -> None:
    assert validated(definition(), job(definition())) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda test: test["metadata"].pop("format"),
        lambda test: test["metadata"].update(os="debian"),
        lambda test: test["run"].update(steps="make"),
    ],
)
def test_lava_would_refuse_another(change: Any) -> None:
    wrong = definition()
    change(wrong)
    assert "Invalid" in validated(wrong, job(wrong))


@LOGS
def test_the_dispatcher_reads_the_signals(log: Any, tmp_path: Path) -> None:
    main([f"--lava={tmp_path / 'lava'}", str(log(tmp_path / "log"))])
    lines = (tmp_path / "lava").read_text().splitlines()
    found = matched([m.group(1) for m in map(SIGNAL.fullmatch, lines) if m])
    others = [line for line in lines if not SIGNAL.fullmatch(line)]
    assert found and all(re.fullmatch(r"[\w.-]+", each["test_case_id"], re.ASCII) for each in found)
    assert all(re.fullmatch(r"<LAVA_SIGNAL_TESTSET (START [\w.-]+|STOP)>", line, re.ASCII) for line in others)
