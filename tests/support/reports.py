# SPDX-License-Identifier: GPL-2.0-only
"""Builders of logs, a log with every outcome, and parsers of the machine-readable reports."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kcidb_io
import pytest

from helpers.formats.junit import legal
from helpers.formats.ktap import plain
from helpers.identity import Identity, MigrationId, SubjectId
from helpers.results.log import LogWriter, read_log
from helpers.results.records import VERSION, Case, KnownDeviation, Log, Result, Session, SubjectInfo
from helpers.results.rows import sections
from tests.support import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED, ROOT

STABLE, OTHER = SubjectId("debian:stable"), SubjectId("Image # SKIP")
WAY = MigrationId(STABLE, OTHER)
OLD_LOGS = ROOT / "tests/unit/logs"
"""Logs of older versions. For the logs of two kernels, there are also the verdicts that were printed for them."""
INFO = SubjectInfo(STABLE, "mainline", {"kernel": "Linux 6.12", "registers": "3"})
DEVIATION = KnownDeviation("early-lock", "LOCK-1", "It locks early.", "https://example.org/1")
HOSTILE = (
    "expected 0 # SKIP not really\nSubtest: x\nok 1 fine\n1..0\nKTAP version 1\n"
    "reboot: System halted\nKernel panic - not syncing: VFS: no root\nList of all partitions:\n"
    "\x1b[2J\x00\u2028ok 2\ud800"
)
LINE = re.compile(r"( *)(ok|not ok) (\d+) ([^#]*?)(?: # (SKIP|XFAIL|ERROR)(?: .*)?)?")
FLAT = re.compile(r"(ok|not ok) (\d+) ([^#]*?)(?: # (SKIP|XFAIL|ERROR)(?: .*)?)?")


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a log as JSON objects."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_harmless(text: str) -> None:
    odd = {each for each in text if not each.isprintable() and each not in "\n\t"}
    assert not odd, odd


def result(outcome: str, name: str, subject: Identity | None = STABLE, message: str = HOSTILE) -> Result:
    text = "" if outcome == PASSED else message
    nodeid = f"suites/lock/test_a.py::{name}"
    return Result(nodeid, subject, outcome, ("LOCK-1",), "It is locked.", "hyp.rst", text, 0.5)


def log_of(
    *results: Result,
    subjects: tuple[Identity, ...] = (STABLE,),
    infos: tuple[SubjectInfo, ...] | None = None,
    dialect: str = "mainline",
    known: tuple[KnownDeviation, ...] = (),
    lost: tuple[Case, ...] = (),
    argv: tuple[str, ...] = ("-q",),
    time: float = 1.5e9,
    **changes: object,
) -> Log:
    """A complete log with these results; no test in LOST has one. CHANGES are other fields of Log."""
    cases = tuple(Case(each.nodeid, each.subject) for each in results)
    if infos is None:
        infos = tuple(SubjectInfo(each, dialect, INFO.environment, known) for each in subjects)
    log = Log(Session(VERSION, argv, subjects, time), (*cases, *lost), cases, results, infos, None, 0)
    return replace(log, **changes)  # type: ignore[arg-type]


def set_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Makes standard input a stream of ``data``, until the test ends."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def write_log(path: Path, log: Log) -> Path:
    """Writes a log as the recorder does."""
    writer = LogWriter(path)
    writer.session(log.session)
    writer.contract(log.contract)
    writer.collected(log.collected)
    for info in log.subjects:
        writer.subject(info)
    for case in log.started:
        writer.start(case)
    for each in log.results:
        writer.result(each)
    writer.selection(log.selection, log.tier)
    if log.status is not None:
        writer.end(log.status, log.reason)
    writer.close()
    return path


def write(path: Path, *results: Result, **values: Any) -> Path:
    """Writes log_of RESULTS and VALUES."""
    return write_log(path, log_of(*results, **values))


def everything(path: Path) -> Path:
    """Each outcome, three subjects, a file that could not be imported, a test that was not run."""
    results = [
        result(PASSED, "test_good"),
        result(PASSED, "test_named[a # SKIP b\\x]"),
        result(FAILED, "test_bad"),
        result(ERROR, "test_broken"),
        result(NOT_APPLICABLE, "test_absent"),
        result(KNOWN, "test_known"),
        result(NOT_MEASURED, "test_unmeasured"),
        result(PASSED, "test_good", OTHER),
        result(FAILED, "test_way", WAY),
        Result("suites/lock/test_c.py", None, ERROR, message=HOSTILE),
    ]
    lost = (Case("suites/lock/test_a.py::test_lost", STABLE),)
    return write(path, *results, lost=lost, subjects=(STABLE, OTHER, WAY), known=(DEVIATION,))


def good(path: Path) -> Path:
    return write(path, result(PASSED, "test_good"), result(NOT_APPLICABLE, "test_absent"))


LOGS = pytest.mark.parametrize("log", [everything, good], ids=["everything", "good"])
Outcomes = dict[tuple[str, str], str]
"""By subject and node id, as far as the format has them: the outcome in the format's own word."""


def junit_of(path: Path) -> Outcomes:
    outcomes = {}
    for suite in ET.parse(path).getroot():
        for case in suite.findall("testcase"):
            folder, name = case.get("classname", ""), case.get("name", "")
            # A row that is no test (a file, the verdict) has its whole id as the name.
            nodeid = name if "test_" not in name or "/" in name else f"{folder.replace('.', '/')}.py::{name}"
            kind = next((each.tag for each in case if each.tag != "system-out"), "passed")
            outcomes[suite.get("name", ""), nodeid] = kind
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(name) == str(len(suite.findall(f"testcase/{kind}")))
        assert suite.get("tests") == str(len(suite.findall("testcase")))
    return outcomes


def ktap_of(path: Path) -> Outcomes:
    """Parse nested KTAP. Checks that names have no hash, and that the numbers of the tests agree with the plan."""
    outcomes: Outcomes = {}
    waiting: dict[str, str] = {}
    for line in path.read_text().splitlines():
        match = LINE.fullmatch(line)
        if not match:
            assert re.fullmatch(r" *(KTAP version 1|1\.\.\d+|# \| .*)", line), line
            continue
        if match.group(1):
            waiting[match.group(4)] = match.group(5) or match.group(2)
            assert int(match.group(3)) == len(waiting)
        else:
            outcomes |= {(match.group(4), name): kind for name, kind in waiting.items()}
            waiting = {}
    return outcomes


def kcidb_of(path: Path) -> Outcomes:
    """Parse a submission to KCIDB. Checks that kcidb-io accepts it, and that each referenced object is included."""
    submission = json.loads(path.read_text())
    assert kcidb_io.schema.LATEST.is_valid_exactly(submission)
    names = ("checkouts", "builds", "tests", "issues")
    ids = {name: [each["id"] for each in submission.get(name, [])] for name in names}
    assert all(len(set(each)) == len(each) for each in ids.values())
    assert {each["checkout_id"] for each in submission["builds"]} == set(ids["checkouts"])
    assert {each["build_id"] for each in submission["tests"]} == set(ids["builds"])
    issues = {each["test_id"]: each["issue_id"] for each in submission.get("incidents", [])}
    assert set(issues.values()) == set(ids["issues"])
    return {
        (each["misc"]["subject"], each["misc"]["test"]): "known" if each["id"] in issues else each["status"]
        for each in submission["tests"]
    }


def flat_ktap_of(path: Path) -> dict[str, str]:
    """Parse flat KTAP: the outcomes by SUBJECT/TEST."""
    version, plan, *rest = path.read_text().splitlines()
    matches = [FLAT.fullmatch(line) for line in rest if not line.startswith("# | ")]
    cases = [match.groups() for match in matches if match]
    assert version == "KTAP version 1" and plan == f"1..{len(matches)}" == f"1..{len(cases)}"
    assert [int(number) for _, number, _, _ in cases] == list(range(1, len(cases) + 1))
    return {name: directive or word for word, _, name, directive in cases}


def _words(*words: str) -> dict[str, str]:
    return dict(zip((PASSED, FAILED, ERROR, NOT_APPLICABLE, KNOWN, NOT_MEASURED), words, strict=True))


FORMATS: dict[str, tuple[Callable[[Path], Outcomes], Callable[[str], str], dict[str, str]]] = {
    "junit": (junit_of, legal, _words("passed", "failure", "error", "skipped", "skipped", "skipped")),
    "ktap": (ktap_of, plain, _words("ok", "not ok", "ERROR", "SKIP", "XFAIL", "SKIP")),
    "kcidb": (kcidb_of, str, _words("PASS", "FAIL", "ERROR", "SKIP", "known", "SKIP")),
}
NOT_RUN = {"junit": "error", "ktap": "ERROR", "kcidb": "MISS"}


def expected(log: Path, name: str) -> Outcomes:
    _, spell, words = FORMATS[name]
    return {
        (spell(s.subject.label), spell(r.nodeid)): NOT_RUN[name] if r.nodeid in s.not_run else words[r.outcome]
        for s in sections(read_log(log))
        for r in s.rows
    }
