# SPDX-License-Identifier: GPL-2.0-only
"""LAVA: its own schemas take the test definition, its own dispatcher reads the signals, and no name is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.command.report import main
from tests.support import ROOT
from tests.support.lavacheck import definition, matched, validated
from tests.support.reports import LOGS

SIGNAL = re.compile("<LAVA_SIGNAL_TESTCASE (.*)>")


def job(test: dict[str, Any]) -> dict[str, Any]:
    """docs/ci/lava.yaml, which has the definition from git. Its text in line is validated too."""
    published: dict[str, Any] = yaml.safe_load((ROOT / "docs/ci/lava.yaml").read_text("utf-8"))
    inline = {"repository": test, "from": "inline", "path": "kvm-hvc.yaml", "name": "in-line"}
    published["actions"][-1]["test"]["definitions"].append(inline)
    return published


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
