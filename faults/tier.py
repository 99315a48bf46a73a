# SPDX-License-Identifier: GPL-2.0-only
"""Chooses the tests of the gate tier from the logs of a proof (helpers/contract/tiers.py reads the list).

The tier must contain, in each dialect:

- for each clause of each planted fault, a test of the clause that fails with the fault,
- for each clause, a test that passes without a fault,
- for each clause and register, a test that passes without a fault, except for races and random sequences, which take
  the most time.

If no test of a clause passes, for example because the proof's kernel lacks a register, one that is not applicable is
enough. The choice is a greedy set cover: it repeatedly takes the test that meets the most open needs per second, and
then drops tests that the others make redundant. Durations are from the controls.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

from faults.collection import CollectedTest
from faults.fault import CONTROL, Fault
from faults.proof import tests_without_result
from helpers.contract.clauses import CHAPTERS
from helpers.contract.tiers import REGENERATE, Detections
from helpers.errors import UsageError
from helpers.identity import SubjectId
from helpers.results.log import read_log
from helpers.results.nodeids import without_subject
from helpers.results.records import ERROR, FAILED, PASSED, Log
from helpers.results.verdict import many

_HEAD = f"""\
# SPDX-License-Identifier: GPL-2.0-only
# The tests of --tier gate: in each dialect, a test and the planted faults that it detects. Generated, do not edit.
# Run {REGENERATE}.
"""
_ANY_REGISTER = frozenset(clause.id for name in ("concurrency", "model") for clause in CHAPTERS[name])
_SHORTEST = 0.001
"""The least cost of a test in seconds, because a test that is not applicable takes almost no time."""

_WIDTH = 120
_FEW = 10
"""The most faults that an error message names."""

_Need = tuple[str, ...]
_Key = tuple[str, str]


@dataclass
class _Data:
    """The results in the logs of a proof. The keys are dialects and tests."""

    seconds: dict[str, float]
    unfit: set[str] = field(default_factory=set)
    passed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    planted: set[_Key] = field(default_factory=set)
    detects: dict[_Key, set[_Key]] = field(default_factory=lambda: defaultdict(set))
    """By dialect and test: the faults that the test detects, as pairs of fault and clause."""


def read_proofs(folders: Iterable[Path]) -> list[Log]:
    """The logs of finished proofs, given the folders of their reports. Raises UsageError if one is not finished."""
    cure = "Run kvm-hvc-conformance prove --reports"
    logs = []
    for folder in folders:
        paths = sorted((folder / "proof").glob("*/results.jsonl"))
        if not paths:
            raise UsageError(f"{folder} has no proof", cure=f"{cure}={folder}")
        for path in paths:
            log = read_log(path)
            rest = len(tests_without_result(log))
            if log.truncated or log.status not in (0, 1) or rest:
                why = f"{path} breaks off" if log.truncated or log.status is None else f"{many(rest, 'test')} not run"
                raise UsageError(f"The proof in {folder} is not complete", why=why, cure=f"{cure}={folder} again")
            logs.append(log)
    return logs


def choose_tier(
    logs: Collection[Log], faults: Sequence[Fault], clauses: Collection[str], tests: Mapping[str, CollectedTest]
) -> Detections:
    """The tests of the tier, and the faults that each one detects.

    Raises UsageError if the proof does not detect a fault in one of its dialects, or has no test of a clause.
    """
    data = _data(logs, {fault.id: fault for fault in faults}, tests)
    _check_faults(data, faults)
    needs = _needs(data, tests)
    missing = set(clauses) - {need[1] for each in needs.values() for need in each if need[0] == "clause"}
    if missing:
        what = f"The proof has no test of {', '.join(sorted(missing))}"
        raise UsageError(what, cure="Run kvm-hvc-conformance prove without selecting tests")
    chosen = _cover(needs, data.seconds)
    # A test that detects no fault is in the first table only.
    tables: dict[str, dict[str, tuple[str, ...]]] = {}
    for dialect in dict.fromkeys(dialect for fault in faults for dialect in fault.dialects):
        faults_of = {test: tuple(sorted({name for name, _ in data.detects[dialect, test]})) for test in sorted(chosen)}
        tables[dialect] = {test: each for test, each in faults_of.items() if each or not tables}
    return tables


def control_seconds(logs: Iterable[Log]) -> dict[str, float]:
    """The duration of each test that ran without a planted fault, in seconds."""
    seconds: dict[str, float] = {}
    for log in logs:
        for result in log.results:
            if isinstance(result.subject, SubjectId) and result.subject.fault == CONTROL:
                test = without_subject(result.nodeid, result.subject)
                # The minimum, because the duration of the first test of a control includes the boot.
                seconds[test] = min(result.duration, seconds.get(test, result.duration))
    return seconds


def tier_text(tables: Detections) -> str:
    """gate_tier.toml."""
    parts = [_HEAD]
    for dialect, table in tables.items():
        parts.append(f"\n[{dialect}]\n")
        for test, faults in table.items():
            # A JSON string is also a TOML string.
            key, names = json.dumps(test), ", ".join(map(json.dumps, faults))
            line = f"{key} = [{names}]"
            if len(line) > _WIDTH:
                body = fill(names, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
                line = f"{key} = [\n{body},\n]"
            parts.append(f"{line}\n")
    return "".join(parts)


def _data(logs: Collection[Log], faults: Mapping[str, Fault], tests: Collection[str]) -> _Data:
    data = _Data(control_seconds(logs))
    for log in logs:
        for result in log.results:
            subject = result.subject
            test = without_subject(result.nodeid, subject)
            if test not in tests or not isinstance(subject, SubjectId):
                # The test is from an earlier version of the suite.
                continue
            if subject.fault == CONTROL:
                if result.outcome in (FAILED, ERROR):
                    data.unfit.add(test)
                elif result.outcome == PASSED:
                    data.passed[subject.dialect].add(test)
            elif subject.fault in faults:
                data.planted.add((subject.dialect, subject.fault))
                named = set(faults[subject.fault].clauses) & set(result.clauses)
                if result.outcome == FAILED:
                    data.detects[subject.dialect, test] |= {(subject.fault, clause) for clause in named}
    return data


def _check_faults(data: _Data, faults: Sequence[Fault]) -> None:
    every = [(dialect, fault) for fault in faults for dialect in fault.dialects]
    absent = list(dict.fromkeys(fault.id for dialect, fault in every if (dialect, fault.id) not in data.planted))
    fit = [(dialect, pairs) for (dialect, test), pairs in data.detects.items() if _is_fit(data, test)]
    detected = {(dialect, *pair) for dialect, pairs in fit for pair in pairs}
    missed = [
        f"{fault.id} ({clause}, {dialect})"
        for dialect, fault in every
        for clause in fault.clauses
        if (dialect, fault.id) in data.planted and (dialect, fault.id, clause) not in detected
    ]
    if absent:
        what = f"The proof did not plant {many(len(absent), 'fault')}, first {absent[0]}"
        cure = "Run kvm-hvc-conformance prove"
        if len(absent) <= _FEW:
            options = " ".join(f"--fault {name}" for name in absent)
            cure += f" --reports=MORE {options}, and give both folders with --tier-from"
        raise UsageError(what, cure=cure)
    if missed:
        rest = f" and {len(missed) - _FEW} more" if len(missed) > _FEW else ""
        what = f"The proof did not detect {', '.join(missed[:_FEW])}{rest}"
        why = "no test of the clause failed with the fault and passed without it"
        raise UsageError(what, why=why, cure="Correct the tests, and run kvm-hvc-conformance prove again")


def _is_fit(data: _Data, test: str) -> bool:
    return test in data.seconds and test not in data.unfit


def _needs(data: _Data, tests: Mapping[str, CollectedTest]) -> dict[str, set[_Need]]:
    """The needs that each test meets. A test that failed in a control meets none."""
    fit = {test: each for test, each in tests.items() if _is_fit(data, test)}
    passed_in = {test: [dialect for dialect, passed in data.passed.items() if test in passed] for test in fit}
    kinds = {test: [("clause", clause, kind) for clause, kind in _kinds(each)] for test, each in fit.items()}
    passed = {kind for test in fit if passed_in[test] for kind in kinds[test]}
    # A test that is not applicable or not measured without the fault counts only if no other test detects the fault.
    surely = {
        (dialect, *pair)
        for (dialect, test), pairs in data.detects.items()
        if test in data.passed[dialect]
        for pair in pairs
    }
    needs: dict[str, set[_Need]] = {}
    for test in fit:
        pairs = {(dialect, *pair) for dialect in data.passed for pair in data.detects[dialect, test]}
        needs[test] = {("fault", *pair) for pair in pairs if pair[0] in passed_in[test] or pair not in surely}
        needs[test] |= {(*kind, dialect) for kind in kinds[test] for dialect in passed_in[test]}
        needs[test] |= {kind for kind in kinds[test] if kind not in passed}
    return needs


def _kinds(test: CollectedTest) -> list[tuple[str, str]]:
    """The clauses of a test, each without and with the test's register."""
    with_register = [(clause, test.register) for clause in test.clauses if clause not in _ANY_REGISTER]
    return [*((clause, "") for clause in test.clauses), *with_register]


def _cover(needs: Mapping[str, set[_Need]], seconds: Mapping[str, float]) -> list[str]:
    cost = {test: max(seconds[test], _SHORTEST) for test in needs}
    left = set().union(*needs.values())
    chosen: list[str] = []
    while left:
        best = max(sorted(needs), key=lambda test: len(needs[test] & left) / cost[test])
        chosen.append(best)
        left -= needs[best]
    for test in sorted(chosen, key=lambda test: -cost[test]):
        if needs[test] <= set().union(*(needs[other] for other in chosen if other != test)):
            chosen.remove(test)
    return chosen
