# SPDX-License-Identifier: GPL-2.0-only
"""Every planted death in one session of the suite: only its own test fails, with the last lines of the console."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from faults.deaths import DEATHS, Death
from helpers.identity import SubjectId
from helpers.results.log import read_log
from helpers.results.nodeids import without_subject
from helpers.results.records import FAILED, NOT_APPLICABLE, PASSED, Log, Result
from tests.support.sessions import run_pytest, strays

KERNEL = "debian:stable"
DEADLINE = 8
WITHIN = 3 * DEADLINE
"""Seconds: the deadline and one boot, beside other tests; a second wait for the deadline, with its boot, is more."""
LOCK = "suites/lock/test_lock.py"
VICTIM = f"{LOCK}::test_changed_value[STD-set_on_vcpu0-vcpu1_ran]"
OTHERS = (
    "suites/defaults/test_defaults.py::test_reset_value[STD]",
    "suites/limits/test_limits.py::test_every_subset[STD]",
    f"{LOCK}::test_same_value[STD-set_on_vcpu0-vcpu0_ran]",
    f"{LOCK}::test_reads_answer[STD-vcpu0_ran]",
)
SELECTION = (
    *("suites/defaults", "suites/limits", LOCK, "-k"),
    "STD and not HYP and (test_changed_value and set_on_vcpu0 and vcpu1_ran or test_same_value and set_on_vcpu0 and "
    "vcpu0_ran or test_reads_answer and vcpu0_ran or test_every_subset or test_reset_value and not after_run)",
)
"""The same, whatever the subjects add to their ids."""


def _session(folder: Path, *arguments: str) -> tuple[int, str]:
    (folder / "tmp").mkdir()
    # Every file of a VM is in this folder, so that the test finds those of its own session.
    options = (f"--kernel={KERNEL}", f"--reports={folder / 'reports'}", f"--test-deadline={DEADLINE}")
    status, text = run_pytest(*options, *arguments, TMPDIR=str(folder / "tmp"))
    assert "Traceback" not in text and "INTERNALERROR" not in text, text
    assert not strays(folder), "QEMU stayed"
    assert not list((folder / "tmp").glob("kvm-hvc-*"))
    return status, text


def _of(log: Log, death: Death) -> dict[str, Result]:
    """The death's results by the node id of a session with one subject."""
    results = [r for r in log.results if isinstance(r.subject, SubjectId) and r.subject.fault == death.id]
    return {without_subject(result.nodeid, result.subject): result for result in results}


def test_a_death_costs_its_own_test_and_nothing_else(tmp_path: Path) -> None:
    planted = [f"--plant={death.id}" for death in DEATHS]
    status, text = _session(tmp_path, "-n", "2", *planted, *SELECTION)
    log = read_log(tmp_path / "reports/results.jsonl")
    assert status == 1, text
    for death in DEATHS:
        results = _of(log, death)
        outcomes = {nodeid: result.outcome for nodeid, result in results.items()}
        assert outcomes == {VICTIM: FAILED, **dict.fromkeys(OTHERS, PASSED)}, f"{death.id}: {text}"
        assert death.says in results[VICTIM].message, death.id
        assert "Booting Linux" not in results[VICTIM].message, death.id
        assert results[VICTIM].duration < WITHIN, death.id
        assert f"with planted fault {death.id} (Linux " in text
    verdicts = re.findall(r"^SELECTION FAILED: .*?: 1 failed, 4 passed, .* 0 errors, 0 not run", text, re.MULTILINE)
    assert len(verdicts) == len(DEATHS), text


def test_a_deadly_call_leaves_out_the_rest_of_its_test_function(tmp_path: Path) -> None:
    """Every other test has its result, with two workers, each of which counts for itself."""
    selection = (
        "suites/capability",
        "suites/defaults",
        "suites/limits",
        LOCK,
        "-k",
        "test_changed_value or test_reset or test_every_subset or capability",
    )
    status, text = _session(tmp_path, "-n", "2", "--plant=panics", *selection)
    log = read_log(tmp_path / "reports/results.jsonl")
    deadly = f"{LOCK}::test_changed_value["
    outcomes = Counter((result.nodeid.startswith(deadly), result.outcome) for result in log.results)
    assert status == 1 and set(outcomes) <= {(True, FAILED), (False, PASSED), (False, NOT_APPLICABLE)}, text
    assert 2 <= outcomes[True, FAILED] <= 4 and outcomes[False, PASSED] > 10
    others = {test.nodeid for test in log.collected if not test.nodeid.startswith(deadly)}
    assert {result.nodeid for result in log.results} >= others
    left_out = [test.nodeid for test, reason in log.not_run if "2 cases of this test function ended" in reason]
    assert len(left_out) > 10 and all(nodeid.startswith(deadly) for nodeid in left_out)
    assert f" 0 errors, {len(left_out)} not run; broken clauses: LOCK-" in text.splitlines()[-1]
