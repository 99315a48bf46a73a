# SPDX-License-Identifier: GPL-2.0-only
"""The verdict on a kernel that is newer than the suite, what accepts it, and how each report shows it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.command.report import main as report_main
from helpers.errors import UsageError
from helpers.formats.html.page import document
from helpers.formats.junit import junit
from helpers.formats.kcidb import Origin, kcidb
from helpers.formats.ktap import ktap
from helpers.formats.lava import lava
from helpers.identity import SubjectId
from helpers.plugin.reporting import with_accepted
from helpers.results.baseline import Acceptance, Waiver, read_acceptances, read_baseline
from helpers.results.columns import columns
from helpers.results.gate import gate
from helpers.results.records import ERROR, FAILED, PASSED, Log, Result, SubjectInfo, UnknownService
from helpers.results.rows import sections
from helpers.results.verdict import Verdict, exit_status, verdicts
from tests.support.reports import log_of, write_log

SUBJECT, OTHER = SubjectId("debian:stable"), SubjectId("Image")
BIT, VERSION = UnknownService("VENDOR_HYP:2", "VENDOR_HYP bit 2"), UnknownService("PSCI:1.4", "PSCI 1.4")
ACCEPTED = UnknownService(BIT.name, BIT.text, accepted=True)
TODAY = date(2026, 11, 24)
ENTRY = Acceptance("VENDOR_HYP:2", "debian:*", "our own service", "https://example.org/2", date(2026, 12, 31))
WAIVER = Waiver("LOCK-1", "", "debian:*", "backport is queued", "https://example.org/1", date(2026, 12, 31))
TEXT = """[[accept-unknown]]
service = "VENDOR_HYP:2"
subject = "debian:*"
reason = "our own service"
url = "https://example.org/2"
until = 2026-12-31
"""


def result(outcome: str, name: str = "test_one") -> Result:
    return Result(f"suites/test_a.py::{name}", SUBJECT, outcome, ("LOCK-1",), message="why")


FINE = result(PASSED)


def log(*results: Result, unknown: tuple[UnknownService, ...] = (BIT,), selection: str | None = None) -> Log:
    infos = (SubjectInfo(SUBJECT, "mainline", unknown=unknown),)
    return log_of(*(results or (FINE,)), infos=infos, selection=selection)


def judged(*results: Result, unknown: tuple[UnknownService, ...] = (BIT,), selection: str | None = None) -> Verdict:
    (verdict,) = verdicts(log(*results, unknown=unknown, selection=selection))
    return verdict


def test_an_unknown_service_is_neither_conformant_nor_a_failure() -> None:
    verdict = judged()
    assert verdict.status == 6
    assert verdict.line.startswith("NEWER-THAN-SUITE, 1 unknown service: VENDOR_HYP bit 2 on debian:stable (mainline)")
    two = judged(unknown=(BIT, VERSION))
    assert two.word == "NEWER-THAN-SUITE, 2 unknown services: VENDOR_HYP bit 2, PSCI 1.4"


def test_an_accepted_service_is_conformant_and_named() -> None:
    verdict = judged(unknown=(ACCEPTED,))
    assert (verdict.status, verdict.word) == (0, "CONFORMANT, 1 accepted unknown service: VENDOR_HYP bit 2")
    other = judged(unknown=(ACCEPTED, VERSION))
    assert other.status == 6
    assert other.word == "NEWER-THAN-SUITE, 1 unknown service: PSCI 1.4, 1 accepted unknown service: VENDOR_HYP bit 2"


@pytest.mark.parametrize(("outcome", "status"), [(FAILED, 1), (ERROR, 3)])
@pytest.mark.parametrize("unknown", [BIT, ACCEPTED])
def test_known_things_come_first(outcome: str, status: int, unknown: UnknownService) -> None:
    verdict = judged(FINE, result(outcome, "test_two"), unknown=(unknown,))
    assert verdict.status == status and "VENDOR_HYP bit 2" in verdict.word


def test_a_selection_is_never_called_conformant() -> None:
    for unknown in (BIT, ACCEPTED):
        assert "CONFORMANT" not in judged(unknown=(unknown,), selection="-k lock").line
    verdict = judged(selection="-k lock")
    assert verdict.status == 6 and verdict.line.startswith("SELECTION NEWER-THAN-SUITE, 1 unknown service: VENDOR_HYP")


def test_the_order_of_statuses() -> None:
    newer, fine = judged(), judged(unknown=())
    assert exit_status([fine, newer]) == 6
    assert exit_status([newer, judged(result(FAILED))]) == 1 and exit_status([newer, judged(result(ERROR))]) == 3


def test_the_gate_is_closed_for_an_unknown_service() -> None:
    assert gate(columns([log()]), (), "any", TODAY).status == 6
    assert gate(columns([log(unknown=(ACCEPTED,))]), (), "any", TODAY, (ENTRY,)).status == 0
    good = result(PASSED, "test_three")
    waived = log(Result(good.nodeid, SUBJECT, PASSED, ("CAP-1",)), result(FAILED, "test_two")), (WAIVER,)
    decision = gate(columns([waived[0]]), waived[1], None, TODAY)
    assert decision.status == 6 and "the suite does not know VENDOR_HYP bit 2" in decision.lines[0]


def test_an_acceptance_that_is_not_needed_or_has_expired_closes_the_gate() -> None:
    without = gate(columns([log(unknown=())]), (), None, TODAY, (ENTRY,))
    assert without.status == 3 and "VENDOR_HYP:2 on debian:* is not needed" in without.lines[0]
    expired = gate(columns([log(unknown=(BIT,))]), (), None, date(2027, 1, 1), (ENTRY,))
    assert expired.status == 3 and "expired" in expired.lines[0]
    elsewhere = Acceptance("VENDOR_HYP:2", "Image", "why", "https://example.org/2", ENTRY.until)
    assert gate(columns([log(unknown=())]), (), None, TODAY, (elsewhere,)).status == 0


def test_the_baseline_accepts_services(tmp_path: Path) -> None:
    path = tmp_path / "baseline.toml"
    path.write_text(TEXT)
    assert read_acceptances(path) == (ENTRY,) and read_baseline(path) == ()
    assert ENTRY.accepts("debian:sid", "VENDOR_HYP:2") and not ENTRY.accepts("Image", "VENDOR_HYP:2")
    assert not ENTRY.accepts("debian:sid", "VENDOR_HYP:3")


@pytest.mark.parametrize(
    "change", [('"VENDOR_HYP:2"', '"VENDOR_HYP bit 2"'), ("until = 2026-12-31\n", ""), ('"our own service"', '" "')]
)
def test_a_bad_acceptance_is_wrong_usage(change: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "baseline.toml"
    path.write_text(TEXT.replace(*change))
    with pytest.raises(UsageError, match="accept-unknown 1 is not a valid entry"):
        read_acceptances(path)


class FakeConfig:
    """The options that with_accepted reads."""

    def __init__(self, baseline: str, accepted: list[str], folder: Path) -> None:
        self._options = {"--baseline": baseline, "--accept-unknown": accepted}
        self.invocation_params = SimpleNamespace(dir=folder)

    def getoption(self, name: str) -> object:
        return self._options[name]


@pytest.mark.parametrize(
    ("label", "options", "until", "accepted"),
    [
        ("debian:sid", [], "2099-12-31", [True, False]),
        ("Image", [], "2099-12-31", [False, False]),
        ("debian:sid", [], "2020-12-31", [False, False]),
        ("Image", ["PSCI:1.4"], "2099-12-31", [False, True]),
    ],
)
def test_a_run_marks_the_accepted_services(
    label: str, options: list[str], until: str, accepted: list[bool], tmp_path: Path
) -> None:
    (tmp_path / "baseline.toml").write_text(TEXT.replace("2026-12-31", until))
    config: Any = FakeConfig("baseline.toml", options, tmp_path)
    assert [each.accepted for each in with_accepted(config, label, (BIT, VERSION))] == accepted


def test_report_accepts_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``report --accept-unknown`` judges as a run with this option. Another name than that of a service is refused."""
    path = str(write_log(tmp_path / "a.jsonl", log()))
    for arguments, status, text in (
        ([], 6, "NEWER-THAN-SUITE, 1 unknown service: VENDOR_HYP bit 2"),
        (["--accept-unknown", "PSCI:1.4"], 6, "NEWER-THAN-SUITE"),
        (["--accept-unknown", "VENDOR_HYP:2"], 0, "CONFORMANT, 1 accepted unknown service: VENDOR_HYP bit 2"),
    ):
        assert report_main([*arguments, path]) == status
        assert capsys.readouterr().err.startswith(text)
    with pytest.raises(SystemExit):
        report_main(["--accept-unknown", "VENDOR_HYP bit 2", path])
    assert "is not the name of an unknown service, such as VENDOR_HYP:2" in capsys.readouterr().err


def test_every_report_shows_it() -> None:
    newer = log()
    root = ET.fromstring(junit(sections(newer)))
    properties = {each.get("name"): each.get("value") for each in root.iter("property")}
    assert properties["unknown services"] == "VENDOR_HYP:2" and "NEWER-THAN-SUITE" in (properties["verdict"] or "")
    (case,) = (each for each in root.iter("testcase") if each.get("name") == "verdict")
    assert case.find("skipped") is not None
    assert "ok 1 debian:stable # SKIP NEWER-THAN-SUITE, 1 unknown service: VENDOR_HYP bit 2" in ktap(sections(newer))
    assert "TEST_CASE_ID=verdict RESULT=skip" in lava(sections(newer))
    submission = json.loads(kcidb(sections(newer), Origin("me")))
    assert {test["misc"]["unknown_services"][0] for test in submission["tests"]} == {"VENDOR_HYP:2"}
    assert "SKIP" in {test["status"] for test in submission["tests"]}
    page = document(columns([newer]))
    assert "Unknown services" in page and "--accept-unknown VENDOR_HYP:2 accepts it" in page
    assert "accepted by --accept-unknown VENDOR_HYP:2" in document(columns([log(unknown=(ACCEPTED,))]))
