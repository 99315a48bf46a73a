# SPDX-License-Identifier: GPL-2.0-only
"""Known deviations: counted by name, for one clause only, and an error when the kernel no longer deviates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.contract.clauses import CLAUSES
from helpers.contract.deviations import DEVIATIONS
from helpers.errors import HarnessError
from helpers.identity import OldLabel, SubjectId
from helpers.results.log import read_log
from helpers.results.records import FAILED, KNOWN, NOT_MEASURED, PASSED, VERSION, KnownDeviation, Result, SubjectInfo
from helpers.results.verdict import Verdict, VerdictKind, verdicts
from tests.support.reports import log_of

SUBJECT = SubjectId("debian:stable")
ENTRY = KnownDeviation("early-lock", "LOCK-1", "It locks early.", "https://example.org/1")


def judged(*results: Result, known: tuple[KnownDeviation, ...] = (ENTRY,), selection: str | None = None) -> Verdict:
    infos = (SubjectInfo(SUBJECT, "mainline", known=known),)
    (verdict,) = verdicts(log_of(*results, infos=infos, selection=selection))
    return verdict


def result(outcome: str, name: str = "test_one", clauses: tuple[str, ...] = ("LOCK-1",)) -> Result:
    return Result(f"suites/test_a.py::{name}", SUBJECT, outcome, clauses)


FINE = result(PASSED, "test_fine", ("CAP-1",))


def test_an_unlisted_deviation_is_a_failure() -> None:
    verdict = judged(FINE, result(KNOWN), known=())
    assert (verdict.kind, verdict.broken, verdict.known) == (VerdictKind.NON_CONFORMANT, ("LOCK-1",), ())
    assert verdict.counts[FAILED] == 1 and verdict.counts[KNOWN] == 0


def test_a_claim_for_another_clause_is_a_failure() -> None:
    assert judged(FINE, result(KNOWN, clauses=("LOCK-1", "LOCK-2"))).kind is VerdictKind.NON_CONFORMANT


def test_an_entry_that_no_longer_deviates_is_an_error() -> None:
    verdict = judged(FINE, result(PASSED))
    assert verdict.status == 3
    assert "early-lock is listed as a known deviation, but LOCK-1 holds: take it off the list" in verdict.line


def test_half_of_it_gone_is_an_error() -> None:
    assert judged(FINE, result(KNOWN), result(PASSED, "test_two")).status == 3


def test_an_entry_that_nothing_checks_is_an_error_of_a_whole_run() -> None:
    assert judged(FINE).status == 3
    assert judged(FINE, selection="-k fine").status == 0


def test_an_entry_whose_test_was_not_measured_stays() -> None:
    verdict = judged(FINE, result(NOT_MEASURED))
    assert (verdict.status, verdict.known, verdict.unmeasured_clauses) == (0, (), ("LOCK-1",))


def test_a_failure_beside_it_counts() -> None:
    verdict = judged(FINE, result(KNOWN), result(FAILED, "test_two", ("CAP-2",)))
    assert verdict.status == 1 and verdict.broken == ("CAP-2",)
    assert verdict.line.startswith("NON-CONFORMANT, 1 known deviation: early-lock on debian:stable (mainline): ")


def test_a_selection_speaks_of_it_too() -> None:
    line = judged(FINE, result(KNOWN), selection="-k lock").line
    assert line.startswith("SELECTION PASSED, 1 known deviation: early-lock; -k lock on debian:stable (mainline): ")


@pytest.mark.parametrize("known", ['[{"name": "a"}]', '[{"name": 1, "clause": "", "reason": "", "link": ""}]', "7"])
def test_a_damaged_entry_is_refused(tmp_path: Path, known: str) -> None:
    path = tmp_path / "results.jsonl"
    session = f'{{"record": "session", "version": {VERSION}, "argv": [], "subjects": [], "time": 0}}\n'
    path.write_text(
        session + f'{{"record": "subject", "subject": {{"kind": "subject", "name": "a"}}, "known": {known}}}\n'
    )
    with pytest.raises(HarnessError, match="line 2"):
        read_log(path)


def test_logs_of_version_1_are_read(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(
        '{"record": "session", "version": 1, "argv": [], "subjects": [], "time": 0}\n'
        '{"record": "subject", "subject": "a", "dialect": "none", "environment": {}}\n'
    )
    assert read_log(path).subjects == (SubjectInfo(OldLabel("a"), "none"),)


def test_every_entry_is_complete() -> None:
    names = [each.name for each in DEVIATIONS]
    assert len(set(names)) == len(names)
    for each in DEVIATIONS:
        assert each.clause in CLAUSES and each.reason and each.link.startswith("https://"), each


def test_excuses_are_for_one_clause_alone() -> None:
    assert ENTRY.excuses(("LOCK-1",))
    assert not ENTRY.excuses(("LOCK-1", "LOCK-2")) and not ENTRY.excuses(())
    assert not replace(ENTRY, clause="LOCK-2").excuses(("LOCK-1",))
