# SPDX-License-Identifier: GPL-2.0-only
"""The proof does not hold if a fault is not detected, a test never fails, or a test fails without a fault."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from faults.catalogue import FAULTS, UNPROVABLE
from faults.deaths import DEATHS
from faults.detected import detectors
from faults.fault import CONTROL, DETECTED, MAINLINE, RFC_V3, Fault
from faults.newer import NEWER_FAULTS
from faults.page import write_page
from faults.proof import Proof, prove
from faults.prove import _parser, _selected_variants, _show, main, schedule, trial_line
from faults.variants import VARIANTS, BenignVariant
from helpers import build
from helpers.command.parser import WRONG_USAGE
from helpers.contract.clauses import CLAUSES
from helpers.identity import SubjectId
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, NOT_APPLICABLE, NOT_MEASURED, PASSED, Case, Result
from tests.support.reports import log_of

A, B = "suites/a/test_a.py::test_a", "suites/b/test_b.py::test_b"
FAULT = Fault("f", "everything", ("A-1",), ("kvm_f",))


def result(test: str, fault: str, outcome: str, *clauses: str, control: int | None = None) -> Result:
    subject = SubjectId("debian:stable", fault=fault, control=control)
    return Result(f"{test}[{subject.label}-x]", subject, outcome, clauses, message="why")


SEEN = (
    result(A, CONTROL, PASSED, "A-1"),
    result(B, CONTROL, PASSED, "B-1"),
    result(A, "f", FAILED, "A-1"),
    result(B, "f", FAILED, "B-1"),
)


VARIANT = BenignVariant("v", "another host", ("kvm_f",), ("a",))
ACCEPTED = (result(A, "v", PASSED, "A-1"), result(B, "v", PASSED, "B-1"))


def judged(
    *results: Result, clauses: tuple[str, ...] = ("A-1",), partial: bool = False, fault: Fault = FAULT, met: int = 1
) -> Proof:
    """The proof of these results; ``met`` calls met the variant."""
    subjects = tuple(dict.fromkeys(r.subject for r in results if isinstance(r.subject, SubjectId)))
    log = log_of(*results, subjects=subjects)
    why = {"C-1": "no function decides it"}
    return prove([log], [fault], clauses, why, partial=partial, variants=[VARIANT], met={"v": met})


def test_holds() -> None:
    proof = judged(*SEEN)
    assert proof.holds and proof.line == "PROVED: 1 of 2 clauses, 1 of 1 faults noticed, 0 of 0 variants accepted"
    assert proof.rows[0].tests == (f"{A}[x]",) and proof.rows[0].beside == (f"{B}[x]",)


def test_a_fault_that_only_tests_of_other_clauses_see_is_not_seen() -> None:
    proof = judged(*(replace(r, outcome=PASSED) if r.outcome == FAILED and "A-1" in r.clauses else r for r in SEEN))
    assert not proof.holds and not proof.rows[0].tests and proof.unproved == ("A-1",)


def test_a_fault_is_seen_by_a_test_of_each_of_its_clauses() -> None:
    both = replace(FAULT, clauses=("A-1", "B-1"))
    assert judged(*SEEN, fault=both, partial=True).holds
    half = judged(*(replace(r, outcome=PASSED) if "B-1" in r.clauses else r for r in SEEN), fault=both, partial=True)
    assert not half.holds and half.rows[0].unseen == ("B-1",) and "0 of 1 faults" in half.line


def test_a_test_that_sees_nothing() -> None:
    blind = judged(*(replace(r, outcome=PASSED) if "B-1" in r.clauses else r for r in SEEN))
    assert not blind.holds and blind.blind == (B,)


def test_a_clause_without_a_fault() -> None:
    proof = judged(*SEEN, clauses=("A-1", "B-1"))
    assert not proof.holds and proof.unproved == ("B-1",)
    assert judged(*SEEN, clauses=("A-1", "B-1"), partial=True).holds


def test_a_control_that_fails() -> None:
    for control in (None, 20):
        proof = judged(*SEEN, result(A, CONTROL, FAILED, "A-1", control=control))
        assert not proof.holds and proof.controls


def test_errors_and_tests_that_were_not_run_are_trouble() -> None:
    assert not judged(*SEEN, result(B, "f", ERROR, "A-1")).holds
    log = log_of(*SEEN, collected=(Case(f"{A}[y]", SEEN[2].subject),))
    proof = prove([log], [FAULT], ("A-1",), {}, partial=False)
    assert not proof.holds and "not run" in proof.rows[0].trouble[0]


def test_a_test_that_a_detected_fault_does_not_need_is_no_trouble() -> None:
    left_out = Case(f"{A}[y]", SEEN[2].subject)
    log = log_of(*SEEN, collected=(left_out,), not_run=((left_out, DETECTED),))
    assert prove([log], [FAULT], ("A-1",), {}, partial=True).holds
    log = replace(log, not_run=((left_out, "2 cases of this test function ended the kernel"),))
    assert prove([log], [FAULT], ("A-1",), {}, partial=True).rows[0].trouble


def test_a_variant_is_accepted() -> None:
    proof = judged(*SEEN, *ACCEPTED)
    assert proof.holds and "1 of 1 faults noticed, 1 of 1 variants accepted" in proof.line
    assert trial_line(proof.trials[0]).startswith("v: accepted; CONFORMANT, 0 failed, 2 passed, ")
    assert judged(*ACCEPTED, partial=True).rows == () and judged(*ACCEPTED, partial=True).holds


@pytest.mark.parametrize("outcome", [FAILED, ERROR])
def test_a_false_alarm_fails_the_proof(outcome: str) -> None:
    proof = judged(*SEEN, ACCEPTED[0], result(B, "v", outcome, "B-1"))
    assert not proof.holds and "1 of 1 faults noticed, 0 of 1 variants accepted" in proof.line
    assert proof.trials[0].alarms == (f"{B}[x]: {outcome}: why",)
    assert "FALSE ALARM (1)" in trial_line(proof.trials[0])


def test_another_verdict_than_the_correct_one_is_a_false_alarm() -> None:
    nothing = judged(*SEEN, result(A, "v", NOT_APPLICABLE, "A-1"), result(B, "v", NOT_APPLICABLE, "B-1"))
    assert not nothing.holds and nothing.trials[0].alarms == ("INCONCLUSIVE: no test passed",)
    assert not judged(*SEEN, result(A, "v", NOT_APPLICABLE, "A-1")).holds


def test_a_test_that_was_not_run_in_a_variant_is_a_false_alarm() -> None:
    subject = ACCEPTED[0].subject
    assert isinstance(subject, SubjectId)
    log = log_of(*ACCEPTED, collected=(Case(f"{A}[y]", subject),), subjects=(subject,))
    proof = prove([log], [], (), {}, partial=True, variants=[VARIANT], met={"v": 1})
    assert not proof.holds and "not run" in proof.trials[0].alarms[0]


def test_a_variant_that_no_call_met_is_not_accepted() -> None:
    proof = judged(*SEEN, *ACCEPTED, met=0)
    assert not proof.holds and "0 of 1 variants accepted" in proof.line and not proof.trials[0].alarms
    assert "v: NOT MET" in trial_line(proof.trials[0])


def test_a_false_alarm_does_not_count_as_a_test_that_can_fail() -> None:
    blind = (*(r for r in SEEN if "B-1" not in r.clauses), result(B, CONTROL, PASSED, "B-1"))
    blind = (*blind, result(B, "f", PASSED, "B-1"), ACCEPTED[0], result(B, "v", FAILED, "B-1"))
    assert judged(*blind).blind == (B,)


def test_variants_by_their_host() -> None:
    options = _parser().parse_args([])
    hosts = _selected_variants(MAINLINE, options)
    assert hosts["-smp 2"] == ["preferred-target-by-core"]
    assert sorted(name for names in hosts.values() for name in names) == sorted(variant.id for variant in VARIANTS)
    assert not _selected_variants(RFC_V3, options)


def test_variants_touch_tests_that_there_are() -> None:
    for variant in VARIANTS:
        assert variant.hooks and variant.touches, variant
        for place in variant.touches:
            assert (build.ROOT / "suites" / place).exists(), place


def test_a_test_that_is_not_measured_in_a_variant_is_no_alarm_and_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = judged(*SEEN, ACCEPTED[0], result(B, "v", NOT_MEASURED, "B-1"))
    assert proof.holds and proof.trials[0].unmeasured == (f"{B}[x]: why",)
    _show(proof)
    write_page(proof, tmp_path / "p.html")
    assert f"\n    not measured: {B}[x]: why\n" in capsys.readouterr().out
    assert f"Not measured under v: {B}[x]: why" in (tmp_path / "p.html").read_text()


def test_a_fault_whose_tests_are_not_measured_is_not_detected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = judged(
        *(replace(r, outcome=NOT_MEASURED) if r.outcome == FAILED and "A-1" in r.clauses else r for r in SEEN)
    )
    assert not proof.holds and proof.unproved == ("A-1",) and proof.blind == (A,)
    assert proof.rows[0].unmeasured == (f"{A}[x]: why",) and not proof.rows[0].trouble
    _show(proof)
    write_page(proof, tmp_path / "p.html")
    out = capsys.readouterr().out
    assert "NOT DETECTED by a test of A-1; not detected" in out and f"\n    not measured: {A}[x]: why\n" in out
    assert f"Not measured under f: {A}[x]: why" in (tmp_path / "p.html").read_text()


def test_a_control_that_is_not_measured_is_no_failure_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    proof = judged(*SEEN, result(A, CONTROL, NOT_MEASURED, "A-1", control=20))
    assert proof.holds and not proof.controls
    _show(proof)
    assert f"not measured without a fault: {A}[x]: why" in capsys.readouterr().out


def test_nothing_proves_nothing() -> None:
    assert not judged().holds and not judged(partial=True).holds


def test_the_page_tells_it(tmp_path: Path) -> None:
    write_page(judged(*SEEN, ACCEPTED[0], result(B, "v", FAILED, "B-1")), tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert "False alarm of v" in text and "another host" in text
    assert "NOT PROVED: 1 of 2 clauses" in text and "no function decides it" in text
    assert '<td class="seen">1</td>' in text


def test_controls_come_before_between_and_after() -> None:
    order = schedule([str(n) for n in range(45)], whole=True)
    assert order[0] == (CONTROL, None) and order[21] == (CONTROL, 20) and order[-1] == (CONTROL, 45)
    assert schedule(["x"], whole=False) == [("x", None), (CONTROL, 1)]
    assert schedule(["x"], whole=False, variants=["v"]) == [("v", None), ("x", None), (CONTROL, 1)]


@pytest.mark.parametrize("option", ["--fault", "--variant"])
def test_an_unknown_name_is_wrong_usage(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option, "nonsense"]) == WRONG_USAGE
    assert "nonsense" in capsys.readouterr().err


def test_a_name_without_its_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock-missing", "no-pmu"]) == WRONG_USAGE
    assert "--fault lock-missing --variant no-pmu" in capsys.readouterr().err


def test_the_catalogue_is_the_module() -> None:
    header = "".join(
        (build.ROOT / "faults/module" / name).read_text()
        for name in ("faults.h", "events.h", "left_behind.h", "psci.h", "variants.h")
    )
    names = re.findall(r'(?:FAULT|VARIANT)\(\w+, "([^"]+)"\)', header)
    planted = [fault.id for fault in FAULTS] + [death.id for death in DEATHS] + [variant.id for variant in VARIANTS]
    planted += [fault.id for fault in NEWER_FAULTS]
    assert sorted(names) == sorted([CONTROL, *planted])
    hooked = set()
    for source in (build.ROOT / "faults/module").glob("*.c"):
        hooks = re.findall(r'\[(\w+)\] = \{ "(\w+)"', source.read_text())
        hooked |= {symbol for _, symbol in hooks}
        # The table ends after its last row, so the rows must be in the order of their numbers.
        assert not hooks or f"enum {{ {', '.join(name for name, _ in hooks)} }};" in source.read_text(), source.name
    assert {hook for fault in FAULTS for hook in fault.hooks} <= hooked
    assert {hook for variant in VARIANTS for hook in variant.hooks} <= hooked
    assert len(FAULTS) >= 60


def test_faults_break_clauses_that_there_are() -> None:
    for fault in FAULTS:
        assert fault.clauses and fault.dialects and set(fault.clauses) <= set(CLAUSES), fault
    assert set(UNPROVABLE) <= set(CLAUSES)


def test_deaths_are_no_proof_of_a_clause() -> None:
    assert not {death.id for death in DEATHS} & {fault.id for fault in FAULTS}


def test_every_fault_runs_the_same_sample() -> None:
    faults = "event-mp-state-clears", "event-get-mp-state-unlocks"
    words = ["-p", "faults.plugin", "--collect-only", "-q", "-p", "no:cacheprovider", "--kernel=debian:stable"]
    words += [f"--plant={name}" for name in faults]
    command = [sys.executable, "-m", "pytest", *words, "suites/events"]
    done = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=False)
    samples = [
        {without_subject(line, subject) for line in done.stdout.splitlines() if subject.label in line}
        for subject in (SubjectId("debian:stable", fault=name) for name in faults)
    ]
    first = set[str]().union(*(detectors()[MAINLINE, name] for name in faults))
    assert samples[0] ^ samples[1] <= first and len(samples[0] & samples[1]) > 1, done.stdout
