# SPDX-License-Identifier: GPL-2.0-only
"""The verdict of a run of the gate tier, in the log and in every report."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from faults.fault import MAINLINE, RFC_V3
from helpers.formats.html.page import document
from helpers.formats.junit import junit
from helpers.formats.kcidb import Origin, kcidb
from helpers.formats.ktap import ktap
from helpers.formats.lava import lava
from helpers.identity import MigrationId, SubjectId
from helpers.results.columns import columns
from helpers.results.diff import compare_logs
from helpers.results.gate import gate
from helpers.results.log import parse_log
from helpers.results.nodeids import parameter_word
from helpers.results.records import Log, Result, Tier, TierScope
from helpers.results.rows import sections
from helpers.results.tier import uncollected
from helpers.results.verdict import Verdict, verdicts
from tests.support import ERROR, FAILED, NOT_APPLICABLE, NOT_MEASURED, PASSED
from tests.support.reports import STABLE, WAY, log_of, write_log

A, B, C = (f"suites/{name}/test_{name}.py::test_{name}" for name in "abc")
TIER = Tier("gate", (A, B), {MAINLINE: {"f": (0,), "g": (0, 1)}, RFC_V3: {"f": (1,)}})
WORD = "CONFORMANT (gate tier: 2 of 2 clauses, 2 of 2 planted faults covered, 2 of 7 tests)"


def run_of(
    first: str, second: str, *, subject: SubjectId | MigrationId = STABLE, tier: Tier = TIER, dialect: str = MAINLINE
) -> Log:
    """A run of the tier; the complete suite has seven tests of two clauses."""
    results = [Result(A, subject, first, ("A-1",)), Result(B, subject, second, ("B-1",))]
    whole = replace(tier, complete=(TierScope(subject, 7, ("A-1", "B-1")),))
    return log_of(*results, subjects=(subject,), dialect=dialect, selection="--tier gate", tier=whole)


def judged(log: Log) -> Verdict:
    (verdict,) = verdicts(log)
    return verdict


def test_the_verdict_says_what_the_run_is() -> None:
    verdict = judged(run_of(PASSED, PASSED))
    assert verdict.line == (
        f"{WORD} on debian:stable (Linux 6.12, mainline, 3 registers): "
        "0 failed, 2 passed, 0 not applicable, 0 errors, 0 not run"
    )
    assert verdict.status == 0


@pytest.mark.parametrize(
    ("outcome", "text", "status"),
    [
        (FAILED, "NON-CONFORMANT (gate tier: 2 of 2 clauses, 2 of 2 planted faults covered, ", 1),
        (NOT_APPLICABLE, "CONFORMANT (gate tier: 1 of 2 clauses, 1 not applicable, 1 of 2 planted faults covered, ", 0),
        (NOT_MEASURED, "CONFORMANT (gate tier: 1 of 2 clauses, 1 of 2 planted faults covered, 2 of 7 tests), 1 not", 0),
        (ERROR, "INCONCLUSIVE (gate tier: 1 of 2 clauses, 1 of 2 planted faults covered, ", 3),
    ],
)
def test_what_a_run_does_not_cover(outcome: str, text: str, status: int) -> None:
    verdict = judged(run_of(outcome, PASSED))
    assert verdict.line.startswith(text) and verdict.status == status
    assert ("; clauses not applicable: A-1" in verdict.line) == (outcome == NOT_APPLICABLE)


def test_the_faults_of_the_kernels_dialect_count() -> None:
    assert "1 of 1 planted faults covered" in judged(run_of(PASSED, PASSED, dialect=RFC_V3)).line
    absent = judged(run_of(NOT_APPLICABLE, PASSED, dialect="none"))
    assert absent.status == 5 and absent.line.startswith("NOT-IMPLEMENTED (gate tier: 1 of 2 clauses, ")
    assert "2 of 3 planted faults covered" in absent.line


def test_a_migration_counts_no_faults() -> None:
    assert judged(run_of(PASSED, PASSED, subject=WAY)).line.startswith(
        "CONFORMANT (gate tier: 2 of 2 clauses, 2 of 7 tests) on migration "
    )


def test_node_ids_with_a_subject() -> None:
    scopes = tuple(TierScope(each, 7, ("A-1", "B-1")) for each in (STABLE, WAY))
    results = [
        Result(f"{test}[{parameter_word(scope.subject)}-x]", scope.subject, PASSED, (clause,))
        for scope in scopes
        for test, clause in ((A, "A-1"), (B, "B-1"))
    ]
    tier = replace(TIER, tests=(f"{A}[x]", f"{B}[x]"), complete=scopes)
    log = log_of(*results, subjects=(STABLE,), selection="--tier gate", tier=tier)
    kernel, way = verdicts(log)
    assert kernel.line.startswith(f"{WORD} on debian:stable") and way.status == 0
    assert uncollected(log, STABLE) == ()


def test_a_listed_test_that_was_not_collected() -> None:
    verdict = judged(run_of(PASSED, PASSED, tier=replace(TIER, tests=(A, B, C))))
    assert verdict.status == 3 and f"because 1 test of the gate tier not collected, first {C}" in verdict.line


def test_another_selection_is_no_tier() -> None:
    line = judged(replace(run_of(PASSED, PASSED), selection="-k lock --tier gate", tier=None)).line
    assert line.startswith("SELECTION PASSED: -k lock --tier gate on debian:stable") and "CONFORMANT" not in line


def test_the_log_keeps_the_tier(tmp_path: Path) -> None:
    log = run_of(PASSED, PASSED)
    data = write_log(tmp_path / "results.jsonl", log).read_bytes()
    assert parse_log(data, "log") == log
    # A log that breaks off before its last record of the selection.
    *lines, selection, _ = data.splitlines()
    early = b"\n".join([*lines, selection.partition(b', "tier"')[0] + b"}"])
    assert judged(parse_log(early, "log")).line.startswith("SELECTION INCONCLUSIVE: --tier gate on")


def test_all_formats_have_it() -> None:
    log = run_of(PASSED, PASSED)
    assert WORD in junit(sections(log)).decode() and WORD in ktap(sections(log))
    assert WORD in document(columns([log]), False)
    assert WORD in kcidb(sections(log), Origin("ci"))
    assert "verdict-gate-tier RESULT=pass" in lava(sections(log))
    assert "ID=verdict RESULT=pass" in lava(sections(log_of(*log.results)))


def test_the_gate_and_diff_know_it() -> None:
    log = run_of(PASSED, PASSED)
    closed = gate(columns([log]), (), "mainline", date.min)
    assert closed.status == 0 and f"GATE: debian:stable: {WORD}" in closed.lines
    complete = log_of(*log.results)
    (before,), (after,) = columns([complete]), columns([log])
    (change,) = compare_logs(before, after).parts["Verdict"]
    assert (change.what, change.after) == ("verdict", WORD)
