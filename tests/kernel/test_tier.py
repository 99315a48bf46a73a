# SPDX-License-Identifier: GPL-2.0-only
"""A run of the gate tier on a real kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.contract.tiers import read_tier
from helpers.results.log import read_log
from tests.support.sessions import KERNEL, run_pytest

VERDICT = (
    r"CONFORMANT \(gate tier: (\d+) of (\d+) clauses, (?:(\d+) not applicable, )?"
    r"(\d+) of (\d+) planted faults covered, (\d+) of (\d+) tests\).* on debian:stable .*"
)


@pytest.mark.parametrize("mode", [("-n", "0"), ("-n", "2")], ids=["alone", "xdist"])
def test_the_verdict(tmp_path: Path, mode: tuple[str, ...]) -> None:
    status, text = run_pytest(KERNEL, f"--reports={tmp_path}", "-q", "--tier=gate", *mode)
    line = text.rstrip().splitlines()[-1]
    match = re.fullmatch(VERDICT, line)
    assert status == 0 and match, text
    checked, clauses, absent, covered, faults, tests, complete = (int(group or 0) for group in match.groups())
    assert absent == len(line.partition("; clauses not applicable: ")[2].split())
    # A race that was not measured covers nothing, nor does a test that only applies if its fault is planted.
    assert 0 < checked + absent <= clauses and 0 < covered <= faults
    assert "not measured" in line or checked + absent == clauses
    log = read_log(tmp_path / "results.jsonl")
    assert tests == len(log.results) == len(read_tier().tests) < complete


def test_with_another_selection(tmp_path: Path) -> None:
    status, text = run_pytest(KERNEL, f"--reports={tmp_path}", "-q", "--tier=gate", "suites/defaults")
    line = text.rstrip().splitlines()[-1]
    assert status == 0 and line.startswith("SELECTION PASSED: suites/defaults --tier gate on debian:stable"), text
