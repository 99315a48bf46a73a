# SPDX-License-Identifier: GPL-2.0-only
"""The results log and the verdict: logs are read as they were written, and no doubtful log passes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import HarnessError, UsageError
from helpers.formats import output
from helpers.formats.junit import junit, legal
from helpers.identity import Identity, MigrationId, OldLabel, Reach, SubjectId
from helpers.results import records
from helpers.results.log import LogWriter, read_log
from helpers.results.records import (
    Case,
    Clause,
    Contract,
    Difference,
    FirmwareInfo,
    Log,
    Result,
    ServiceInfo,
    Session,
    SubjectInfo,
)
from helpers.results.rows import sections
from helpers.results.verdict import Verdict, VerdictKind, exit_status, one_line, verdicts
from tests.support import ERROR, FAILED, NOT_APPLICABLE, NOT_MEASURED, OUTCOMES, PASSED
from tests.support.reports import OLD_LOGS, log_of

SUBJECT, BOARD = SubjectId("debian:stable"), SubjectId("a", Reach.BOARD)
SERVICES = (
    ServiceInfo("KVM_FEATURES", "VENDOR_HYP", "FUNC_FEAT", "0x3, 0, 0, 0", ((0, "NOT_SUPPORTED"), (1, "0x1, 0, 0, 0"))),
    ServiceInfo("SMCCC_VERSION", "", "", "0x10001, 0, 0, 0", (), "0x10001, 0, 0, 0", ((0, "NOT_SUPPORTED"),)),
)
INFO = SubjectInfo(
    SUBJECT,
    "mainline",
    {"kernel": "6.12.107", "registers": "3"},
    services=SERVICES,
    firmware=(FirmwareInfo("PSCI_VERSION", 0x6030000000140000, None, (2, 0x10000)),),
    other_registers={"MIDR_EL1": 1 << 63, "TCR_EL1": None},
)
CONTRACT = Contract(
    (Clause("LOCK-2", "It is locked.", "a.rst", "documented; documents and code differ: SAME", "lock"),),
    (Difference("SAME", ("LOCK-2", "LOCK-3"), "No.", "Yes.", "The code."), Difference("OTHER", (), "a", "b", "c")),
)
ONE, TWO = "suites/test_a.py::test_one", "suites/test_a.py::test_two"
log = partial(log_of, infos=(INFO,))


def result(outcome: str, nodeid: str = ONE, subject: Identity | None = SUBJECT, clause: str = "LOCK-1") -> Result:
    return Result(nodeid, subject, outcome, (clause,), "The bitmap is locked.", "hypercalls.rst", "why", 0.5)


def only(a_log: Log) -> Verdict:
    (verdict,) = verdicts(a_log)
    return verdict


def write(path: Path) -> Log:
    """Every record once; the log that must be read back."""
    session = Session(records.VERSION, ("-k", "x", "--kernel=not-utf-8-\udcff"), (SUBJECT,), 1.5, {"Python": "3.11"})
    cases = (Case(ONE, SUBJECT), Case(TWO, None))
    writer = LogWriter(path)
    writer.session(session)
    writer.contract(CONTRACT)
    writer.selection(None)
    writer.collected(cases)
    writer.subject(INFO)
    writer.start(cases[0])
    writer.result(result(FAILED))
    writer.selection("-k x")
    writer.end(1)
    writer.close()
    return Log(session, cases, cases[:1], (result(FAILED),), (INFO,), "-k x", 1, contract=CONTRACT)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    assert write(path) == read_log(path)


@pytest.mark.parametrize("version", [1, 2])
def test_verdicts_on_old_logs_are_what_they_were(version: int) -> None:
    """Both logs hold a kernel whose path has an arrow in it; the texts are what the program of their time printed."""
    lines = [verdict.line for verdict in verdicts(read_log(OLD_LOGS / f"two-kernels-version-{version}.jsonl"))]
    assert lines == (OLD_LOGS / f"two-kernels-version-{version}.txt").read_text().splitlines()


@pytest.mark.parametrize("version", [1, 2])
def test_what_old_logs_hold(version: int) -> None:
    read = read_log(OLD_LOGS / f"two-kernels-version-{version}.jsonl")
    stable, odd = OldLabel("debian:stable"), OldLabel("/a -> b/Image cpu=x")
    assert read.session.subjects == (stable, odd) and read.collected[-1].subject is None
    assert [info.subject for info in read.subjects] == [stable, odd, MigrationId(stable, odd)]
    first = read.subjects[0]
    assert [len(each) for each in (first.known, first.registers, first.services)] == [[0, 0, 0], [1, 3, 2]][version - 1]
    clauses = [difference.clauses for difference in read.contract.differences]
    assert clauses == [[], [("LOCK-2", "LOCK-3", "MIGRATE-5")]][version - 1]


def test_every_cut_is_read_and_none_is_green(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write(path)
    whole = path.read_bytes().replace(b'"failed"', b'"passed"')
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole) - 1):
        path.write_bytes(whole[:size])
        cut = read_log(path)
        assert cut.status is None or size == len(whole) - 1
        assert only(cut).kind is VerdictKind.INCONCLUSIVE
    path.write_bytes(whole[:-5])
    assert read_log(path).truncated


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[]",
        b'{"record": "dance"}',
        b'{"record": "end"}',
        b'{"record": "end", "status": "0"}',
        b'{"record": "start", "nodeid": 1, "subject": null}',
        b'{"record": "subject", "subject": {"kind": "subject", "name": "a"}, "services": [{"function": "F"}]}',
        b'{"record": "start", "nodeid": "a", "subject": "a label"}',
        b'{"record": "start", "nodeid": "a", "subject": {"kind": "moon", "name": "a"}}',
        b'{"record": "collected", "tests": [["a"]]}',
        b'{"record": "contract", "sentences": [], "differences": [{"id": "SAME", "clauses": ["LOCK-1"]}]}',
        b'{"record": "session", "version": 4, "argv": [], "subjects": [], "time": 0}',
        b'{"record": "result", "nodeid": "a", "subject": null, "outcome": "good"}',
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc2\xa0",
    ],
)
def test_garbage_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "results.jsonl"
    write(path)
    lines = path.read_bytes().split(b"\n")
    lines.insert(2, line)
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(HarnessError, match=r"results\.jsonl, line 3"):
        read_log(path)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\r\n \t\r\n", b"\r\n\r"])
@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf", b"\n\r\n", b"\xef\xbb\xbf\r\n"])
def test_logs_that_a_text_editor_or_a_web_form_changed(tmp_path: Path, begin: bytes, end: bytes) -> None:
    path = tmp_path / "results.jsonl"
    log = write(path)
    lines = path.read_bytes().splitlines()
    for data in (begin + end.join(lines), begin + end.join([*lines, b""])):
        path.write_bytes(data)
        assert read_log(path) == log
        with pytest.raises(UsageError, match="is a results log, which a report must not replace"):
            output.write(str(path), b"a report")
    path.write_bytes(begin + end.join([*lines[:-1], lines[-1][:-1]]))
    assert read_log(path).truncated


def test_blank_lines_count_in_the_number_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n\r\ngarbage\r\n")
    with pytest.raises(HarnessError, match=r"results\.jsonl, line 3"):
        read_log(path)


@pytest.mark.parametrize("text", ["", "\n\r\n", "{", '{"record": "end", "status": 0}\n'])
def test_something_else_is_no_log(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(HarnessError):
        read_log(path)
    with pytest.raises(HarnessError, match="cannot be read"):
        read_log(tmp_path / "missing")


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    record = {"record": "session", "version": records.VERSION + 1, "argv": [], "subjects": [], "time": 0}
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(HarnessError, match="version"):
        read_log(path)


def test_a_full_disk_is_a_harness_error(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.symlink_to("/dev/full")
    writer = LogWriter(path)
    with pytest.raises(HarnessError, match="No space left"):
        writer.end(0)
    writer.close()


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1))
def test_the_worst_result_stays(outcomes: list[str]) -> None:
    (single,) = records.merge_results([result(outcome) for outcome in outcomes])
    assert single.outcome == max(outcomes, key=OUTCOMES.index)
    assert single.duration == pytest.approx(0.5 * len(outcomes))


def test_conformant() -> None:
    verdict = only(log(result(PASSED), result(NOT_APPLICABLE, TWO)))
    assert verdict.status == 0
    assert verdict.line == (
        "CONFORMANT debian:stable (Linux 6.12.107, mainline, 3 registers): "
        "0 failed, 1 passed, 1 not applicable, 0 errors, 0 not run"
    )


def test_non_conformant_wins_over_everything() -> None:
    verdict = only(log(result(FAILED), result(FAILED, TWO, clause="GATE-2"), result(ERROR, "suites/b.py::c"), status=2))
    assert verdict.status == 1
    assert verdict.line.startswith("NON-CONFORMANT debian:stable (")
    assert verdict.line.endswith(
        "2 failed, 0 passed, 0 not applicable, 1 errors, 0 not run; broken clauses: GATE-2, LOCK-1"
    )


def test_not_implemented() -> None:
    none = SubjectInfo(SUBJECT, "none", {"kernel": "5.10"})
    verdict = only(log_of(result(PASSED), infos=(none,)))
    assert verdict.status == 5
    assert "NOT-IMPLEMENTED debian:stable (Linux 5.10, no registers)" in verdict.line


@pytest.mark.parametrize(
    ("doubtful", "reason"),
    [
        (log(result(PASSED), result(ERROR, TWO)), "1 error, first"),
        (log(result(PASSED), collected=(Case(ONE), Case(TWO))), "1 collected test not run"),
        (log(result(PASSED), started=(Case(ONE), Case(TWO))), f"running when the run ended: {TWO}"),
        (log(result(PASSED), truncated=True), "breaks off"),
        (log(result(PASSED), status=None), "breaks off"),
        (log(result(PASSED), status=2), "interrupted"),
        (log(result(PASSED), status=3), "internal error"),
        (log(result(NOT_APPLICABLE)), "no test passed"),
        (log(result(NOT_MEASURED)), "no test passed"),
        (log(), "no test was run"),
        (log(result(PASSED), result(ERROR, "suites/b.py", None)), "1 error"),
    ],
)
def test_inconclusive(doubtful: Log, reason: str) -> None:
    verdict = only(doubtful)
    assert (verdict.kind, verdict.status) == (VerdictKind.INCONCLUSIVE, 3)
    assert reason in verdict.line


@pytest.mark.parametrize(
    ("reason", "shown"), [("The disk is full.", "The disk is full; the"), ("a, b...", "a, b...; the"), ("x", "x; the")]
)
def test_a_reason_is_joined_without_its_full_stop(reason: str, shown: str) -> None:
    verdict = only(log(result(PASSED), status=None, reason=reason))
    assert verdict.line.endswith(f"; because {shown} results log breaks off")
    assert verdict.reasons[0] == shown.partition(";")[0]


def strict(a_log: Log) -> Log:
    return replace(a_log, session=replace(a_log.session, strict=True))


def test_not_measured_is_counted_and_a_clause_without_a_measured_test_is_named() -> None:
    rows = (
        result(PASSED),
        result(NOT_MEASURED, TWO, clause="RACE-1"),
        result(NOT_APPLICABLE, f"{TWO}2", clause="RACE-1"),
    )
    verdict = only(log(*rows, result(NOT_MEASURED, f"{TWO}3")))
    assert verdict.status == 0
    assert verdict.line == (
        "CONFORMANT, 2 not measured on debian:stable (Linux 6.12.107, mainline, 3 registers): "
        "0 failed, 1 passed, 1 not applicable, 2 not measured, 0 errors, 0 not run; clauses not measured: RACE-1"
    )


def test_strict_is_inconclusive_only_if_a_test_was_not_measured() -> None:
    verdict = only(strict(log(result(PASSED), result(NOT_MEASURED, TWO))))
    assert (verdict.kind, verdict.status) == (VerdictKind.INCONCLUSIVE, 3)
    assert verdict.line.startswith("INCONCLUSIVE, 1 not measured on debian:stable (")
    assert verdict.line.endswith(f"; because 1 test not measured (--strict), first {TWO}: why")
    assert only(strict(log(result(PASSED)))).status == 0


def test_not_measured_hides_no_failure() -> None:
    both = log(result(FAILED), result(NOT_MEASURED, TWO))
    for judged in (both, strict(both)):
        verdict = only(judged)
        assert verdict.status == 1 and "; broken clauses: LOCK-1" in verdict.line
        assert "clauses not measured" not in verdict.line


def test_a_selection_with_a_test_that_was_not_measured() -> None:
    verdict = only(log(result(PASSED), result(NOT_MEASURED, TWO), selection="-k lock"))
    assert verdict.line.startswith("SELECTION PASSED, 1 not measured; -k lock on debian:stable (")


def test_a_subject_without_results_is_inconclusive() -> None:
    good, silent = verdicts(log(result(PASSED), subjects=(SUBJECT, BOARD)))
    assert good.kind is VerdictKind.CONFORMANT
    assert silent.kind is VerdictKind.INCONCLUSIVE
    assert exit_status((good, silent)) == 3


def test_a_lost_test_of_an_unknown_subject_spoils_all() -> None:
    both = (SUBJECT, BOARD)
    results = (result(PASSED), result(PASSED, TWO, BOARD))
    lost = log(*results, subjects=both, collected=(Case(ONE), Case(TWO), Case("suites/c.py::d")))
    assert [verdict.kind for verdict in verdicts(lost)] == [VerdictKind.INCONCLUSIVE] * 2


def test_a_lost_migration_is_inconclusive_and_its_kernels_are_not() -> None:
    both, way = (SUBJECT, BOARD), MigrationId(SUBJECT, BOARD)
    results = (result(PASSED), result(PASSED, TWO, BOARD))
    cases = (Case(ONE, SUBJECT), Case(TWO, BOARD), Case("suites/m.py::t[debian:stable->board:a]", way))
    by_subject = {verdict.subject: verdict for verdict in verdicts(log(*results, subjects=both, collected=cases))}
    assert [by_subject[each].kind for each in both] == [VerdictKind.CONFORMANT] * 2
    assert by_subject[way].kind is VerdictKind.INCONCLUSIVE and by_subject[way].not_run == (cases[2].nodeid,)


@pytest.mark.parametrize(
    ("outcome", "word", "status"), [(PASSED, "PASSED", 0), (FAILED, "FAILED", 1), (ERROR, "INCONCLUSIVE", 3)]
)
def test_a_selection_never_speaks_of_conformance(outcome: str, word: str, status: int) -> None:
    verdict = only(log(result(outcome), selection="-k CONFORMANT"))
    assert verdict.line.startswith(f"SELECTION {word}: -k conformant on debian:stable (")
    assert "CONFORMANT" not in verdict.line
    assert verdict.status == status


def test_the_worst_status_wins() -> None:
    conformant, failed, doubtful = only(log(result(PASSED))), only(log(result(FAILED))), only(log())
    none = only(log_of(result(PASSED), dialect="none"))
    assert exit_status([conformant, none, doubtful, failed]) == 1
    assert exit_status([conformant, none, doubtful]) == 3
    assert exit_status([conformant, none]) == 5
    assert exit_status([conformant]) == 0
    assert exit_status([]) == 3


@given(st.text(alphabet=st.characters()))
def test_lines_are_lines(text: str) -> None:
    assert one_line(text).isprintable()


@given(st.text(alphabet=st.characters()))
def test_junit_is_always_xml(text: str) -> None:
    element = ET.Element("a", value=legal(text))
    assert ET.fromstring(ET.tostring(element, encoding="utf-8")).tag == "a"


def test_junit(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    bad = Result(ONE, SUBJECT, FAILED, ("LOCK-1",), "<b>", "src", "x0 = \x1b[1m\x00 & more", 1.0)
    of_log = sections(log(bad, result(NOT_APPLICABLE, TWO), collected=(Case(ONE), Case("suites/c.py::d"))))
    output.write(str(path), junit(of_log))
    suite = ET.parse(path).getroot()[0]
    counts = {name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")}
    assert counts == {"name": SUBJECT.label, "tests": "3", "failures": "1", "errors": "1", "skipped": "1"}
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.get("message") == r"x0 = \x1b[1m\x00 & more"
    case = suite.find("testcase")
    assert case is not None and case.get("group") == "LOCK-1"
    assert case.findtext("system-out") == "clauses: LOCK-1\nrequirement: <b>\nsource: src"
    values = {each.get("name"): each.get("value") for each in suite.findall("properties/property")}
    assert values["clause LOCK-1"] == "failed: 1 failed, 1 not applicable"
    with pytest.raises(HarnessError):
        output.write(str(tmp_path / "missing" / "junit.xml"), junit(of_log))
