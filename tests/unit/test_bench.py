# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark's phases, table and plot."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from helpers.errors import HarnessError
from tools.peers.bench import SELFTESTS, Duration, _run
from tools.peers.bench_page import BenchRun, bench_table, benchmark_page, benchmark_plot, native_table
from tools.peers.phases import FILE_VARIABLE, Phases, pytest_configure

PHASES = {"start": 1.0, "boot": 0.5, "tests": 6.0, "reports": 0.5}
RUN = BenchRun(
    "debian:stable",
    "2 processors",
    SELFTESTS,
    {
        SELFTESTS: [asdict(Duration(wall, 3.0, 150.0)) for wall in (2.0, 4.0, 3.0)],
        "all <tests>": [asdict(Duration(wall, 15.0, 400.0, PHASES)) for wall in (8.0, 8.0, 9.0)],
    },
)


def report(when: str, start: float, stop: float) -> Any:
    return SimpleNamespace(when=when, start=start, stop=stop)


def test_phases_of_a_session(tmp_path: Path) -> None:
    """Reports of two workers: the phases begin with the first set-up and the first call, and end with the last test."""
    path = tmp_path / "phases"
    phases = Phases(path, 10.0)
    for each in (
        report("setup", 12.0, 14.0), report("call", 14.0, 15.0), report("setup", 11.0, 15.5),
        report("teardown", 20.0, 21.0), report("call", 15.5, 16.0),
    ):  # fmt: skip
        phases.pytest_runtest_logreport(each)
    phases.pytest_unconfigure()
    written = json.loads(path.read_text())
    assert {name: written[name] for name in ("start", "boot", "tests")} == {"start": 1.0, "boot": 3.0, "tests": 7.0}
    assert written["reports"] > 0


def test_a_session_without_tests_has_no_phases(tmp_path: Path) -> None:
    phases = Phases(tmp_path / "phases", 10.0)
    phases.pytest_runtest_logreport(report("setup", 12.0, 14.0))
    phases.pytest_unconfigure()
    assert not (tmp_path / "phases").exists()


def test_only_the_process_of_the_user_writes_phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "phases"))
    registered: list[object] = []
    manager = SimpleNamespace(register=registered.append)
    pytest_configure(cast("pytest.Config", SimpleNamespace(pluginmanager=manager, workerinput={})))
    assert registered == []
    pytest_configure(cast("pytest.Config", SimpleNamespace(pluginmanager=manager)))
    assert [type(each) for each in registered] == [Phases]


def test_ratios_are_medians_of_pairs() -> None:
    """The ratios of the three turns are 4, 2 and 3."""
    row = bench_table(RUN).splitlines()[-1]
    assert row == "| all <tests> | 3 | 8.0 | 15.0 | 400 | 1.0 | 0.5 | 6.0 | 0.5 | 3.0 |"


def test_page_has_each_kernel_and_each_chapter() -> None:
    text = benchmark_page([RUN], {"lock": {"tests": 90, "round_trips": 656, "operations": 7158, "vms": 114}})
    assert "## debian:stable\n\n2 processors.\n" in text
    assert "| lock | 90 | 656 | 7158 | 114 |" in text


def test_plot_has_a_bar_for_each_phase() -> None:
    root = ET.fromstring(benchmark_plot([RUN]))
    bars = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "18"]
    widths = [float(each.get("width", "")) for each in bars]
    assert len(widths) == 5
    assert sum(widths[1:]) == pytest.approx(560)
    assert widths[0] == pytest.approx(560 * 3 / 8, abs=0.1)


def test_failed_command_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="a command failed"):
        _run("a command", ["false"], tmp_path / "phases")


def test_command_gets_the_file_for_its_phases(tmp_path: Path) -> None:
    script = f"echo '{json.dumps(PHASES)}' > \"${FILE_VARIABLE}\""
    assert _run("a command", ["sh", "-c", script], tmp_path / "phases").phases == PHASES


def test_the_native_table_has_ratios_of_the_same_turn() -> None:
    turns = [{"C loop, get": 100.0, "listed, get": 900.0}, {"C loop, get": 200.0, "listed, get": 600.0}]
    assert native_table(turns).splitlines()[2:] == ["| C loop, get | 150 | 1.0 |", "| listed, get | 750 | 6.0 |"]
    assert native_table(turns) in benchmark_page([RUN], {}, turns)
    assert "in process" not in benchmark_page([RUN], {})


def test_memory_and_time_are_those_of_one_command(tmp_path: Path) -> None:
    large = _run("large", [sys.executable, "-c", "x = bytearray(200 << 20)"], tmp_path / "phases")
    small = _run("small", ["true"], tmp_path / "phases")
    assert large.memory > 200 > small.memory > 0
    assert small.processor <= large.processor
