# SPDX-License-Identifier: GPL-2.0-only
"""The machine reports, read back by readers of their formats: they agree with the log."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.command.report import main
from helpers.formats.diff_text import page, text
from helpers.formats.ktap import ktap, plain
from helpers.formats.lava import CLAUSE, case_names
from helpers.results.columns import columns, summary
from helpers.results.diff import SAME, compare_logs
from helpers.results.log import read_log
from helpers.results.records import Case
from helpers.results.rows import Section, sections
from tests.support import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED, kunit, reports
from tests.support.reports import LOGS, STABLE, everything, expected, good, log_of, result, write_log

LAVA_WORDS = {
    **{PASSED: "pass", FAILED: "fail", ERROR: "unknown"},
    **dict.fromkeys((NOT_APPLICABLE, KNOWN, NOT_MEASURED), "skip"),
}
LAVA_VERDICTS = {"CONFORMANT": "pass", "NON-CONFORMANT": "fail", "INCONCLUSIVE": "unknown", "NOT-IMPLEMENTED": "skip"}


@LOGS
def test_all_reports_of_one_run_agree(log: Callable[[Path], Path], tmp_path: Path) -> None:
    path = log(tmp_path / "results.jsonl")
    status = main(
        [*(f"--{name}={tmp_path / name}" for name in (*reports.FORMATS, "ktap-flat")), "--origin=me", str(path)]
    )
    assert status == (1 if log is everything else 0)
    for name, (read, _, _) in reports.FORMATS.items():
        assert read(tmp_path / name) == expected(path, name), name
    nested = {f"{subject}/{nodeid}": word for (subject, nodeid), word in expected(path, "ktap").items()}
    assert reports.flat_ktap_of(tmp_path / "ktap-flat") == nested
    counted = Counter(row.outcome for section in sections(read_log(path)) for row in section.rows)
    verdicts = [section.verdict for section in sections(read_log(path))]
    assert counted[FAILED] == sum(verdict.counts[FAILED] for verdict in verdicts)
    assert counted[ERROR] == sum(verdict.counts[ERROR] + verdict.counts["not-run"] for verdict in verdicts)


def lava_of(path: Path) -> list[dict[str, str]]:
    """For each test set its cases and their results; no case is there twice."""
    sets: list[dict[str, str]] = []
    for line in path.read_text().splitlines():
        if line.startswith("<LAVA_SIGNAL_TESTSET START "):
            sets.append({})
        case = re.fullmatch(r"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=(\S+) RESULT=(\w+)>", line)
        if case:
            assert case.group(1) not in sets[-1], line
            sets[-1][case.group(1)] = case.group(2)
    return sets


@LOGS
def test_lava_agrees(log: Callable[[Path], Path], tmp_path: Path) -> None:
    path = log(tmp_path / "results.jsonl")
    main([f"--lava={tmp_path / 'lava'}", str(path)])
    for section, cases in zip(sections(read_log(path)), lava_of(tmp_path / "lava"), strict=True):
        rows = [row for row in section.rows if row.nodeid != "verdict"]
        assert cases.pop("verdict") == LAVA_VERDICTS[section.verdict.kind.value]
        clauses = {name: cases.pop(name) for name in list(cases) if name.startswith(CLAUSE)}
        assert cases == {n: LAVA_WORDS[row.outcome] for n, row in zip(case_names(section), rows, strict=True)}
        assert clauses == {f"{CLAUSE}LOCK-1": LAVA_WORDS[summary(r for r in rows if r.clauses)[0] or ""]}


@LOGS
def test_the_diff_of_a_log_and_itself_says_its_verdicts_and_no_change(
    log: Callable[[Path], Path], tmp_path: Path
) -> None:
    read = read_log(log(tmp_path / "results.jsonl"))
    for section, column in zip(sections(read), columns([read]), strict=True):
        comparison = compare_logs(column, column)
        assert comparison.changes == () and section.verdict.line in text(comparison)
        assert all(reason in comparison.summary for reason in section.verdict.reasons) or comparison.status == SAME
        assert page([comparison]).count(f"{section.verdict.counts[FAILED]} failed, ") >= 2


@LOGS
def test_junit_names_the_clauses(log: Callable[[Path], Path], tmp_path: Path) -> None:
    path = log(tmp_path / "results.jsonl")
    main([f"--junit={tmp_path / 'junit.xml'}", str(path)])
    for section, suite in zip(sections(read_log(path)), ET.parse(tmp_path / "junit.xml").getroot(), strict=True):
        properties = {each.get("name", ""): each.get("value", "") for each in suite.findall("properties/property")}
        assert properties["verdict"] == section.verdict.line
        assert properties["clause LOCK-1"].startswith(f"{summary(r for r in section.rows if r.clauses)[0]}: ")
        groups = [case.get("group", "") for case in suite.findall("testcase")]
        assert groups == [", ".join(row.clauses) for row in section.rows]


FINE = result(PASSED, "test_good")
DOUBTFUL = {
    "cut": log_of(FINE),
    "no end": log_of(FINE, status=None),
    "half missing": log_of(FINE, lost=(Case("suites/lock/test_a.py::test_lost", STABLE),)),
    "all skipped": log_of(result(NOT_APPLICABLE, "test_absent")),
    "never started": log_of(FINE, subjects=(STABLE, reports.OTHER)),
    "nothing": log_of(),
    "deviation gone": log_of(FINE, known=(reports.DEVIATION,)),
}
"""No test failed in these logs, and none of them may pass."""


@pytest.mark.parametrize("name", DOUBTFUL)
def test_no_report_of_a_doubtful_log_is_green(name: str, tmp_path: Path) -> None:
    path = write_log(tmp_path / "results.jsonl", DOUBTFUL[name])
    if name == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    outputs = {each: tmp_path / each for each in ("junit", "ktap", "ktap-flat", "kcidb")}
    assert main([*(f"--{each}={file}" for each, file in outputs.items()), "--origin=me", str(path)]) == 3
    assert {"ERROR", "MISS"} & set(reports.kcidb_of(outputs["kcidb"]).values())
    assert "error" in reports.junit_of(outputs["junit"]).values()
    assert "ERROR" in reports.ktap_of(outputs["ktap"]).values()
    assert kunit.parsed(outputs["ktap"])[0] and kunit.parsed(outputs["ktap-flat"])[0]


def test_a_log_on_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = good(tmp_path / "results.jsonl")
    reports.set_input(monkeypatch, path.read_bytes())
    assert main([f"--ktap={tmp_path / 'of-input'}", "-"]) == main([f"--ktap={tmp_path / 'of-file'}", str(path)]) == 0
    assert (tmp_path / "of-input").read_text() == (tmp_path / "of-file").read_text()
    reports.set_input(monkeypatch, path.read_bytes())
    assert main(["-", str(path)]) == 4
    assert f"has results in both standard input and {path}" in capsys.readouterr().err
    assert main(["-", "-"]) == 4
    assert "Only one log can be read from standard input" in capsys.readouterr().err


def test_an_unreadable_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["-"]) == 3
    assert "INCONCLUSIVE: Standard input cannot be read: it is closed." in capsys.readouterr().err
    with Path("/proc/self/mem").open() as unreadable:
        monkeypatch.setattr("sys.stdin", unreadable)
        assert main(["-"]) == 3
    assert "Standard input cannot be read: Input/output error." in capsys.readouterr().err


def test_a_kernel_without_the_registers_is_a_skip(tmp_path: Path) -> None:
    path = good(tmp_path / "results.jsonl")
    path.write_text(path.read_text().replace('"mainline"', '"none"'))
    assert main([f"--ktap={tmp_path / 'ktap'}", str(path)]) == 5
    assert re.fullmatch("ok 1 debian:stable # SKIP NOT-IMPLEMENTED", (tmp_path / "ktap").read_text().splitlines()[-1])


@given(st.text(alphabet=st.characters()), st.text(alphabet=st.characters()))
def test_no_text_breaks_a_line_or_meets_another(one: str, two: str) -> None:
    spelled = plain(one)
    assert spelled.isprintable() and "#" not in spelled and spelled == spelled.strip()
    assert (plain(two) == spelled) is (two == one)


def test_what_ends_the_kernels_parser_is_spelled_out(tmp_path: Path) -> None:
    assert plain("reboot: System halted") == "reboot\\x3a System halted"
    assert plain("reboot: the guest asked for it") == "reboot: the guest asked for it"


@given(
    st.text(alphabet=st.characters()),
    st.sampled_from([FAILED, ERROR, NOT_APPLICABLE, KNOWN, NOT_MEASURED]),
    st.booleans(),
)
def test_no_message_adds_a_line_that_counts(message: str, outcome: str, flat: bool) -> None:
    row = result(outcome, "test_a", message=message)
    verdict = sections(log_of(row))[0].verdict
    text = ktap([Section(verdict, (row,), frozenset(), 0.0)], flat=flat)
    counting = [line for line in text.splitlines() if not line.lstrip().startswith("# | ")]
    assert len(counting) == (3 if flat else 6)
