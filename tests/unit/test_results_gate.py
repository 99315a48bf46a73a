# SPDX-License-Identifier: GPL-2.0-only
"""The gate: failures that a baseline waives, entries that must go, and every way to a false pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from helpers.errors import UsageError
from helpers.identity import Reach, SubjectId
from helpers.results.baseline import Waiver, read_baseline
from helpers.results.columns import columns
from helpers.results.gate import Gate, gate
from helpers.results.records import (
    ERROR,
    FAILED,
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASSED,
    Case,
    Log,
    Result,
    merge_results,
)
from tests.support.reports import log_of

TODAY = date(2026, 11, 24)
SUBJECT, BOARD = SubjectId("debian:stable"), SubjectId("a", Reach.BOARD)
LOCK = Waiver("LOCK-1", "", "debian:*", "backport is queued", "https://example.org/1", date(2026, 12, 31))
BY_TEST = replace(LOCK, clause="", test="suites/a.py::bad*")
ENTRY = """[[deviation]]
clause = "LOCK-1"
subject = "debian:*"
reason = "backport is queued"
url = "https://example.org/1"
until = 2026-12-31
"""

NO_REASON = ENTRY.replace('reason = "backport is queued"', "")


def result(outcome: str, name: str = "bad", *clauses: str) -> Result:
    return Result(f"suites/a.py::{name}", SUBJECT, outcome, clauses or ("LOCK-1",), message="why")


FINE, BROKEN = result(PASSED, "good", "CAP-1"), result(FAILED)
UNMEASURED = result(NOT_MEASURED, "race", "RACE-1")
NOTED = log_of(FINE, BROKEN, UNMEASURED)


def judged(log: Log, *baseline: Waiver, require: str | None = None) -> Gate:
    return gate(columns([log]), baseline, require, TODAY)


@pytest.mark.parametrize("entry", [LOCK, BY_TEST], ids=["clause", "test"])
def test_a_failure_in_the_baseline_passes(entry: Waiver) -> None:
    decision = judged(log_of(FINE, BROKEN), entry)
    assert decision == Gate(0, ("GATE: debian:stable: 1 failure, each in the baseline", "GATE passed"))


def test_a_test_that_was_not_measured_is_shown() -> None:
    assert judged(NOTED, LOCK).lines[0] == "GATE: debian:stable: 1 failure, each in the baseline; 1 not measured"
    assert judged(log_of(FINE, UNMEASURED)).lines[0] == "GATE: debian:stable: CONFORMANT, 1 not measured"


def test_an_entry_is_needed_while_its_test_is_not_measured() -> None:
    assert judged(log_of(FINE, result(NOT_MEASURED)), LOCK).status == 0


def test_without_one_the_verdict_stands() -> None:
    assert judged(log_of(FINE, BROKEN)).status == 1
    assert judged(log_of(FINE)).status == 0
    assert judged(log_of(FINE, dialect="none")).status == 5


NOT_GREEN = {
    "another failure": (log_of(FINE, BROKEN, result(FAILED, "other", "LOCK-2")), 1),
    "another clause too": (log_of(FINE, result(FAILED, "bad", "LOCK-1", "LOCK-2")), 1),
    "a kernel that warned": (log_of(FINE, result(FAILED, "bad", "QUIET-1"), BROKEN), 1),
    "covers everything": (log_of(BROKEN), 3),
    "all skipped": (log_of(BROKEN, result(NOT_APPLICABLE, "na")), 3),
    "error": (log_of(FINE, BROKEN, result(ERROR, "e", "CAP-1")), 3),
    "truncated": (log_of(FINE, BROKEN, truncated=True), 3),
    "no end": (log_of(FINE, BROKEN, status=None), 3),
    "interrupted": (log_of(FINE, BROKEN, status=2), 3),
    "nothing measured": (log_of(BROKEN, UNMEASURED), 3),
    "strict": (replace(NOTED, session=replace(NOTED.session, strict=True)), 3),
    "missing": (log_of(FINE, BROKEN, collected=(Case("suites/a.py::lost", SUBJECT),)), 3),
    "running": (log_of(FINE, BROKEN, started=(Case("suites/a.py::killer", SUBJECT),)), 3),
    "nothing applies": (log_of(result(NOT_APPLICABLE, "na")), 3),
    "empty": (log_of(), 3),
    "ended": (log_of(FINE, BROKEN, reason="the disk was full"), 3),
    "called wrongly": (log_of(FINE, BROKEN, status=4), 3),
}


@pytest.mark.parametrize(("log", "status"), NOT_GREEN.values(), ids=NOT_GREEN)
def test_never_falsely_green(log: Log, status: int) -> None:
    assert judged(log, LOCK).status == status


def test_a_subject_that_never_started() -> None:
    log = log_of(FINE, BROKEN)
    both = replace(log, session=replace(log.session, subjects=(SUBJECT, BOARD)))
    assert judged(both, LOCK).status == 3


@pytest.mark.parametrize("wide", ["*", "suites/*"])
def test_a_baseline_for_everything_gates_nothing_and_is_closed(wide: str) -> None:
    decision = judged(log_of(FINE, BROKEN), replace(BY_TEST, test=wide))
    assert decision.status == 3 and "covers everything" in decision.lines[0]
    clauses = judged(log_of(FINE, BROKEN), LOCK, replace(LOCK, clause="CAP-1"))
    assert clauses.status == 3


def test_one_kernels_result_is_not_anothers() -> None:
    """Both run the same tests; half of one kernel's results are missing."""
    both = (SUBJECT, BOARD)
    good = [replace(FINE, subject=name, nodeid=f"suites/a.py::{test}") for name in both for test in ("one", "two")]
    log = log_of(*good[:3], subjects=both, collected=tuple(Case(each.nodeid, each.subject) for each in good))
    decision = judged(log)
    assert decision.status == 3 and decision.lines[1].startswith("GATE: board:a: INCONCLUSIVE, because")
    assert judged(replace(log, results=tuple(good))).status == 0


def test_of_an_id_twice_the_worse_counts() -> None:
    twice = log_of(FINE, BROKEN, replace(BROKEN, outcome=PASSED))
    for results in (twice.results, twice.results[::-1]):
        assert judged(replace(twice, results=merge_results(results))).status == 1


def test_an_entry_is_not_called_needless_where_nothing_was_found_out() -> None:
    decision = judged(log_of(FINE, truncated=True), LOCK)
    assert decision.status == 3 and not any("is not needed" in line for line in decision.lines)


def test_no_subject_at_all_is_inconclusive() -> None:
    assert gate((), (), None, TODAY).status == 3


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (replace(LOCK, until=date(2026, 11, 23)), "expired on 2026-11-23"),
        (replace(LOCK, clause="CAP-1"), "is not needed"),
        (replace(LOCK, clause="LOCK-9"), "is not needed"),
        (replace(LOCK, subject="Image*"), "is not needed"),
    ],
    ids=["expired", "passes", "nothing of that name", "another subject"],
)
def test_an_entry_that_must_go(entry: Waiver, word: str) -> None:
    decision = judged(log_of(FINE), entry)
    assert decision.status == 3 and word in decision.lines[0] and decision.lines[-1] == "GATE closed with status 3"


def test_the_last_day_counts() -> None:
    assert judged(log_of(FINE, BROKEN), replace(LOCK, until=TODAY)).status == 0


def test_a_selection_does_not_judge_what_it_left_out() -> None:
    assert judged(log_of(FINE, selection="-k good"), LOCK).status == 0
    assert judged(log_of(FINE, result(PASSED), selection="-k good"), LOCK).status == 3


@pytest.mark.parametrize(
    ("status", "dialect", "require"),
    [
        *((0, "mainline", "mainline"), (0, "mainline", "any"), (0, "rfc-v3", "rfc-v3"), (1, "mainline", "rfc-v3")),
        *((1, "rfc-v3", "mainline"), (1, "none", "any"), (3, "", "any"), (3, "", "mainline"), (1, "none", "mainline")),
    ],
)
def test_a_required_dialect(dialect: str, require: str, status: int) -> None:
    assert judged(log_of(FINE, dialect=dialect), require=require).status == status


def test_a_baseline_is_read(tmp_path: Path) -> None:
    path = tmp_path / "baseline.toml"
    path.write_text(ENTRY)
    assert read_baseline(path) == (LOCK,)
    path.write_text("")
    assert read_baseline(path) == ()


@pytest.mark.parametrize("text", ["garbage", "a = 1", "deviation = 1", ENTRY + "[[other]]\na = 1\n", "deviation = {}"])
def test_a_file_without_entries_is_wrong_usage(text: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"The baseline .*baseline\.toml (has|cannot be read)"):
        read_baseline(path)
    with pytest.raises(UsageError, match="missing cannot be read"):
        read_baseline(tmp_path / "missing")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ENTRY.replace("2026-12-31", "'soon'"), "date - at `$.until`"),
        (ENTRY.replace("2026-12-31", "2026-12-31T00:00:00"), "Expected `date`, got `datetime` - at `$.until`"),
        (ENTRY.replace("until = 2026-12-31", ""), "it has no until"),
        (ENTRY + 'test = "x"\n', "it must name either a clause or a test"),
        (ENTRY.replace('clause = "LOCK-1"', ""), "it must name either a clause or a test"),
        (ENTRY.replace('"LOCK-1"', "1"), "Expected `str`, got `int` - at `$.clause`"),
        (ENTRY + 'more = "x"\nanother = 1\n', "it has unknown keys: another, more"),
        (ENTRY.replace('subject = "debian:*"', ""), "it has no subject"),
        (NO_REASON.replace("https://example.org/1", " "), "it has no reason, no url"),
        (ENTRY.replace("backport is queued", " "), "it has no reason"),
    ],
)
def test_a_wrong_entry_is_named_with_its_number(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.toml"
    path.write_text(ENTRY + text)
    with pytest.raises(UsageError, match=r"baseline\.toml, deviation 2 is not a valid entry") as caught:
        read_baseline(path)
    assert reason in caught.value.why and "2027-01-31" in caught.value.cure
    path.write_text("deviation = [1]")
    with pytest.raises(UsageError, match=r"deviation 1 .*Expected `object`, got `int`"):
        read_baseline(path)
