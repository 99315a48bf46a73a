# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance report``: what it takes, what it refuses, and where its reports go."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from helpers.command.report import main
from helpers.results.records import NOT_MEASURED, PASSED
from tests.support.reports import OLD_LOGS, OTHER, STABLE, expected, good, ktap_of, result, write


def test_several_logs_make_one_report(tmp_path: Path) -> None:
    one, two = good(tmp_path / "1.jsonl"), write(tmp_path / "2.jsonl", result(PASSED, "a", OTHER), subjects=(OTHER,))
    assert main([f"--junit={tmp_path / 'x'}", str(one), str(two)]) == 0
    assert [suite.get("name") for suite in ET.parse(tmp_path / "x").getroot()] == [STABLE.label, OTHER.label]


def test_a_subject_of_two_logs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = good(tmp_path / "1.jsonl"), good(tmp_path / "2.jsonl")
    assert main([f"--ktap={tmp_path / 'x'}", str(one), str(two)]) == 4
    assert "debian:stable has results in both" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given here or in the run; the reports are red where they show only rows."""
    log = write(tmp_path / "1.jsonl", result(PASSED, "a"), result(NOT_MEASURED, "b", message="no write met the run"))
    assert main([f"--junit={tmp_path / 'x'}", f"--ktap={tmp_path / 'ktap'}", str(log)]) == 0
    assert "CONFORMANT, 1 not measured on debian:stable" in capsys.readouterr().err
    suite = ET.parse(tmp_path / "x").getroot()[0]
    skipped = suite.find("testcase/skipped")
    assert skipped is not None and skipped.get("message") == "not measured: no write met the run"
    assert suite.get("errors") == "0" and suite.get("skipped") == "1"
    assert "test_a.py::b # SKIP not measured: no write met the run\n" in (tmp_path / "ktap").read_text()
    assert main([f"--junit={tmp_path / 'x'}", f"--html={tmp_path / 'page'}", "--strict", str(log)]) == 3
    assert "because 1 test not measured (--strict)" in capsys.readouterr().err
    assert ET.parse(tmp_path / "x").getroot()[0].get("errors") == "1"
    assert "INCONCLUSIVE, 1 not measured" in (tmp_path / "page").read_text()


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_log_is_converted(version: int, tmp_path: Path) -> None:
    path = OLD_LOGS / f"two-kernels-version-{version}.jsonl"
    assert main([f"--ktap={tmp_path / 'x'}", str(path)]) == 1 and ktap_of(tmp_path / "x") == expected(path, "ktap")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is not a results log"),
        (b"<html>\n", "Not a record of a results log"),
        (b"\xff\x00\n", "Not a record of a results log"),
        (b'{"record": "session", "version": 99, "argv": [], "subjects": [], "time": 0}\n', "version 99"),
        (None, "cannot be read"),
    ],
    ids=["empty", "foreign", "binary", "of the future", "missing"],
)
def test_what_is_no_log_is_named(
    content: bytes | None, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert main([f"--junit={tmp_path / 'x'}", str(path)]) == 3
    err = capsys.readouterr().err
    assert error in err and str(path) in err and not (tmp_path / "x").exists()


def test_no_log_is_overwritten(tmp_path: Path) -> None:
    one, two = good(tmp_path / "1.jsonl"), write(tmp_path / "2.jsonl", result(PASSED, "a", OTHER), subjects=(OTHER,))
    before = one.read_bytes()
    assert main(["--junit", str(one), str(two)]) == 4 and one.read_bytes() == before


def test_wrong_usage_is_4() -> None:
    for arguments in ([], ["--ktap"], ["--kta", "x", "y"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 4


def test_where_a_report_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = good(tmp_path / "results.jsonl")
    assert main([f"--junit={tmp_path}/none/x", str(path)]) == 3
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = good(tmp_path / "results.jsonl")
    assert main(["--ktap=-", str(path)]) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith(b"KTAP version 1\n1..1\n") and err.startswith(b"CONFORMANT debian:stable")
