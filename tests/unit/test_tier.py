# SPDX-License-Identifier: GPL-2.0-only
"""The gate tier: the choice of its tests from a proof, and the committed list."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from faults.catalogue import FAULTS
from faults.collection import CollectedTest, collected_tests
from faults.fault import CONTROL, MAINLINE, RFC_V3, Fault
from faults.prove import main
from faults.tier import choose_tier, read_proofs, tier_text
from helpers.command.parser import WRONG_USAGE
from helpers.contract.clauses import CHAPTERS, CLAUSES
from helpers.contract.tiers import REGENERATE, Detections, read_tier
from helpers.errors import UsageError
from helpers.identity import SubjectId
from helpers.results.records import (
    ERROR,
    FAILED,
    NOT_APPLICABLE,
    NOT_MEASURED,
    PASSED,
    Result,
)
from tests.support import ROOT
from tests.support.reports import log_of, write_log

A, B, C = (f"suites/{name}/test_{name}.py::test_{name}" for name in "abc")
FAULT = Fault("f", "everything", ("A-1",), ("kvm_f",))
SUITE = {
    A: CollectedTest(("A-1",), ""),
    B: CollectedTest(("A-1", "B-1"), ""),
    f"{C}[STD]": CollectedTest(("B-1",), "STD"),
    f"{C}[STD_HYP]": CollectedTest(("B-1",), "STD_HYP"),
}


# --- the choice of the tests -----------------------------------------------------------


def proved(test: str, fault: str, outcome: str, seconds: float = 1.0, dialect: str = MAINLINE) -> Result:
    subject = SubjectId("debian:stable", fault=fault, dialect=dialect)
    place, bracket, parameters = test.partition("[")
    nodeid = f"{place}[{subject.label}{'-' if bracket else ']'}{parameters}"
    return Result(nodeid, subject, outcome, SUITE[test].clauses, duration=seconds)


def control() -> list[Result]:
    """All tests without a fault. B takes the most time."""
    return [proved(test, CONTROL, PASSED, 5.0 if test == B else 1.0) for test in SUITE]


def chosen(*results: Result, faults: tuple[Fault, ...] = (FAULT,), clauses: str = "A-1 B-1") -> Detections:
    subjects = tuple(dict.fromkeys(r.subject for r in results if r.subject))
    return choose_tier([log_of(*results, subjects=subjects)], faults, clauses.split(), SUITE)


def test_the_cheapest_tests_that_cover_everything() -> None:
    tables = chosen(*control(), proved(A, "f", FAILED), proved(B, "f", FAILED))
    # C has a register for each of its cases; B has nothing that A and C lack, and takes longer than A.
    assert tables == {MAINLINE: {A: ("f",), f"{C}[STD]": (), f"{C}[STD_HYP]": ()}}


def test_a_test_detects_a_fault_only_if_it_fails_and_names_its_clause() -> None:
    passed = proved(A, "f", PASSED)
    of_other_clause = proved(f"{C}[STD]", "f", FAILED)
    assert chosen(*control(), passed, of_other_clause, proved(B, "f", FAILED))[MAINLINE][B] == ("f",)
    for results in ([passed, of_other_clause], [proved(A, "f", ERROR)], [proved(A, "f", NOT_MEASURED)]):
        with pytest.raises(UsageError, match=r"did not detect f \(A-1, mainline\)"):
            chosen(*control(), *results)


def test_a_test_that_fails_in_a_control_is_not_chosen() -> None:
    subject = SubjectId("debian:stable", fault=CONTROL, control=20)
    again = replace(proved(A, CONTROL, FAILED), nodeid=f"{A}[{subject.label}]", subject=subject)
    both = (*control(), again, proved(A, "f", FAILED))
    assert chosen(*both, proved(B, "f", FAILED))[MAINLINE][B] == ("f",)
    with pytest.raises(UsageError, match="did not detect f"):
        chosen(*both)


def test_each_clause_of_a_fault_needs_a_test() -> None:
    fault = replace(FAULT, clauses=("A-1", "B-1"))
    results = (*control(), proved(A, "f", FAILED), proved(f"{C}[STD]", "f", FAILED))
    assert chosen(*results, faults=(fault,))[MAINLINE] == {A: ("f",), f"{C}[STD]": ("f",), f"{C}[STD_HYP]": ()}
    with pytest.raises(UsageError, match=r"f \(B-1, mainline\)"):
        chosen(*results[:-1], faults=(fault,))


def test_both_dialects_have_their_own_faults() -> None:
    fault = replace(FAULT, dialects=(MAINLINE, RFC_V3))
    rfc = [proved(A, CONTROL, NOT_APPLICABLE, dialect=RFC_V3), proved(B, CONTROL, PASSED, dialect=RFC_V3)]
    results = (*control(), *rfc, proved(A, "f", FAILED), proved(B, "f", FAILED, dialect=RFC_V3))
    tables = chosen(*results, faults=(fault,))
    assert tables[MAINLINE][A] == ("f",) and tables[RFC_V3] == {B: ("f",)}
    with pytest.raises(UsageError, match=r"did not plant 1 fault, first f\. .*--fault f"):
        chosen(*results[:-1], faults=(fault,))


def test_a_clause_that_the_kernel_lacks_keeps_a_test() -> None:
    absent = [replace(r, outcome=NOT_APPLICABLE) if "B-1" in r.clauses else r for r in control()]
    assert set(chosen(*absent, proved(A, "f", FAILED))[MAINLINE]) == {A, f"{C}[STD]", f"{C}[STD_HYP]"}
    with pytest.raises(UsageError, match="has no test of Z-1"):
        chosen(*control(), proved(A, "f", FAILED), clauses="A-1 B-1 Z-1")


def test_the_list_as_toml() -> None:
    tables: Detections = {
        MAINLINE: {f'{A}["\\]': tuple(f"fault-{number}" for number in range(30)), B: ()},
        RFC_V3: {A: ("f",)},
    }
    text = tier_text(tables)
    assert tomllib.loads(text) == {name: {t: list(f) for t, f in each.items()} for name, each in tables.items()}
    assert max(map(len, text.splitlines())) <= 120 and REGENERATE in text


def test_an_unfinished_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"has no proof\. Run kvm-hvc-conformance prove --reports="):
        read_proofs([tmp_path])
    log = log_of(*control(), subjects=(SubjectId("debian:stable", fault=CONTROL),))
    path = write_log(tmp_path / "proof/mainline/results.jsonl", log)
    assert len(read_proofs([tmp_path])) == 1
    for broken in (replace(log, status=None), replace(log, status=2), replace(log, results=log.results[:2])):
        write_log(path, broken)
        with pytest.raises(UsageError, match=r"is not complete: .*Run kvm-hvc-conformance prove"):
            read_proofs([tmp_path])
    assert main(["--tier-from", str(tmp_path)]) == WRONG_USAGE and "is not complete" in capsys.readouterr().err


# --- the committed list ------------------------------------------------------------------


def test_the_list_covers_the_suite_and_the_catalogue() -> None:
    """After a change of the suite or the catalogue, prove again and write the list."""
    tier, tests = read_tier(), collected_tests()
    gone = [test for test in tier.tests if test not in tests]
    assert not gone, f"no such test; run {REGENERATE}"
    listed = [tests[test] for test in tier.tests]
    assert not set(CLAUSES) - {clause for each in listed for clause in each.clauses}, f"run {REGENERATE}"
    random = {clause.id for name in ("concurrency", "model") for clause in CHAPTERS[name]}
    needed, present = (
        {(clause, each.register) for each in some if each.register for clause in each.clauses if clause not in random}
        for some in (tests.values(), listed)
    )
    assert not needed - present, f"registers without a test of a clause; run {REGENERATE}"


def test_the_record_covers_the_catalogue() -> None:
    tier, tests = read_tier(), collected_tests()
    unseen = []
    for fault in FAULTS:
        for dialect in fault.dialects:
            numbers = tier.faults.get(dialect, {}).get(fault.id, ())
            # The end of every test checks QUIET-1.
            clauses = {clause for number in numbers for clause in (*tests[tier.tests[number]].clauses, "QUIET-1")}
            unseen += [(fault.id, dialect, clause) for clause in fault.clauses if clause not in clauses]
    assert not unseen, f"faults that no test of the gate tier detects; run {REGENERATE}"
    rows = {(dialect, fault.id) for fault in FAULTS for dialect in fault.dialects}
    assert {(dialect, fault) for dialect, each in tier.faults.items() for fault in each} == rows


def test_the_option_deselects_the_rest() -> None:
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "suites"]
    command = [sys.executable, "-m", "pytest", *words, "--tier", "gate"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert sorted(line for line in lines if "::" in line) == list(read_tier().tests)
    assert f"{len(collected_tests()) - len(read_tier().tests)} deselected" in lines[-1]


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gate_tier\.toml is missing\. Run kvm-hvc-conformance prove"):
        read_tier(tmp_path / "gate_tier.toml")
