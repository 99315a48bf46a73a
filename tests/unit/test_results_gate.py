# SPDX-License-Identifier: GPL-2.0-only
"""The gate: what a baseline excuses, that it must shrink, and every way in which it could be falsely green."""

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
    PASSED,
    VERSION,
    Case,
    Log,
    Result,
    Session,
    SubjectInfo,
    merge_results,
)

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


def result(outcome: str, name: str = "bad", *clauses: str) -> Result:
    return Result(f"suites/a.py::{name}", SUBJECT, outcome, clauses or ("LOCK-1",), message="why")


FINE, BROKEN = result(PASSED, "good", "CAP-1"), result(FAILED)


def a_log(*results: Result, dialect: str = "mainline", **changes: object) -> Log:
    cases = tuple(Case(each.nodeid, SUBJECT) for each in results)
    session = Session(VERSION, (), (SUBJECT,), 0.0)
    log = Log(session, cases, cases, results, (SubjectInfo(SUBJECT, dialect),), None, 0)
    return replace(log, **changes)  # type: ignore[arg-type]


def judged(log: Log, *baseline: Waiver, require: str | None = None) -> Gate:
    return gate(columns([log]), baseline, require, TODAY)


@pytest.mark.parametrize("entry", [LOCK, BY_TEST], ids=["clause", "test"])
def test_a_failure_in_the_baseline_passes(entry: Waiver) -> None:
    found = judged(a_log(FINE, BROKEN), entry)
    assert found == Gate(0, ("GATE: debian:stable: 1 failure, each in the baseline", "GATE passed"))


def test_without_one_the_verdict_stands() -> None:
    assert judged(a_log(FINE, BROKEN)).status == 1
    assert judged(a_log(FINE)).status == 0
    assert judged(a_log(FINE, dialect="none")).status == 5


@pytest.mark.parametrize(
    ("log", "status"),
    [
        (a_log(FINE, BROKEN, result(FAILED, "other", "LOCK-2")), 1),
        (a_log(FINE, result(FAILED, "bad", "LOCK-1", "LOCK-2")), 1),
        (a_log(FINE, result(FAILED, "bad", "QUIET-1"), BROKEN), 1),
        (a_log(BROKEN), 3),
        (a_log(BROKEN, result(NOT_APPLICABLE, "na")), 3),
        (a_log(FINE, BROKEN, result(ERROR, "e", "CAP-1")), 3),
        (a_log(FINE, BROKEN, truncated=True), 3),
        (a_log(FINE, BROKEN, status=None), 3),
        (a_log(FINE, BROKEN, status=2), 3),
        (a_log(FINE, BROKEN, collected=(Case("suites/a.py::lost", SUBJECT),)), 3),
        (a_log(FINE, BROKEN, started=(Case("suites/a.py::killer", SUBJECT),)), 3),
        (a_log(result(NOT_APPLICABLE, "na")), 3),
        (a_log(), 3),
        (a_log(FINE, BROKEN, reason="the disk was full"), 3),
        (a_log(FINE, BROKEN, status=4), 3),
    ],
    ids=["another failure", "another clause too", "a kernel that warned", "covers everything", "all skipped", "error",
         "truncated", "no end", "interrupted", "missing", "in flight", "nothing applies", "empty", "ended",
         "called wrongly"],
)  # fmt: skip
def test_never_falsely_green(log: Log, status: int) -> None:
    assert judged(log, LOCK).status == status


def test_a_subject_that_never_started() -> None:
    log = a_log(FINE, BROKEN)
    both = replace(log, session=replace(log.session, subjects=(SUBJECT, BOARD)))
    assert judged(both, LOCK).status == 3


@pytest.mark.parametrize("wide", ["*", "suites/*"])
def test_a_baseline_for_everything_gates_nothing_and_is_closed(wide: str) -> None:
    found = judged(a_log(FINE, BROKEN), replace(BY_TEST, test=wide))
    assert found.status == 3 and "covers everything" in found.lines[0]
    clauses = judged(a_log(FINE, BROKEN), LOCK, replace(LOCK, clause="CAP-1"))
    assert clauses.status == 3


def test_one_kernels_result_is_not_anothers() -> None:
    """Both were to run the same tests, and one of them has but half of the results."""
    both = (SUBJECT, BOARD)
    good = [replace(FINE, subject=name, nodeid=f"suites/a.py::{test}") for name in both for test in ("one", "two")]
    log = a_log(*good[:3], collected=tuple(Case(each.nodeid, each.subject) for each in good))
    found = judged(replace(log, session=replace(log.session, subjects=both)))
    assert found.status == 3 and found.lines[1].startswith("GATE: board:a: INCONCLUSIVE, because")
    assert judged(replace(log, session=replace(log.session, subjects=both), results=tuple(good))).status == 0


def test_of_an_id_twice_the_worse_counts() -> None:
    twice = a_log(FINE, BROKEN, replace(BROKEN, outcome=PASSED))
    for results in (twice.results, twice.results[::-1]):
        assert judged(replace(twice, results=merge_results(results))).status == 1


def test_an_entry_is_not_called_needless_where_nothing_was_found_out() -> None:
    found = judged(a_log(FINE, truncated=True), LOCK)
    assert found.status == 3 and not any("is not needed" in line for line in found.lines)


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
    found = judged(a_log(FINE), entry)
    assert found.status == 3 and word in found.lines[0] and found.lines[-1] == "GATE closed with status 3"


def test_the_last_day_counts() -> None:
    assert judged(a_log(FINE, BROKEN), replace(LOCK, until=TODAY)).status == 0


def test_a_selection_does_not_judge_what_it_left_out() -> None:
    assert judged(a_log(FINE, selection="-k good"), LOCK).status == 0
    assert judged(a_log(FINE, result(PASSED), selection="-k good"), LOCK).status == 3


@pytest.mark.parametrize(
    ("dialect", "require", "status"),
    [("mainline", "mainline", 0), ("mainline", "any", 0), ("rfc-v3", "rfc-v3", 0), ("mainline", "rfc-v3", 1),
     ("rfc-v3", "mainline", 1), ("none", "any", 1), ("", "any", 3), ("", "mainline", 3), ("none", "mainline", 1)],
)  # fmt: skip
def test_a_required_dialect(dialect: str, require: str, status: int) -> None:
    assert judged(a_log(FINE, dialect=dialect), require=require).status == status


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
        (
            ENTRY.replace('reason = "backport is queued"', "").replace("https://example.org/1", " "),
            "it has no reason, no url",
        ),
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
