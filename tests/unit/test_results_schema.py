# SPDX-License-Identifier: GPL-2.0-only
"""The published JSON schemas: current, and in agreement with what the suite reads and writes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from helpers.errors import UsageError
from helpers.results.baseline import read_baseline
from helpers.results.log import RECORDS, read_log
from helpers.results.records import FAILED, KNOWN, NOT_APPLICABLE, PASSED, VERSION, Result
from helpers.results.schema import baseline_schema, log_schema, schemas
from helpers.results.verdict import verdicts
from tests.support.reports import OLD_LOGS, STABLE, lines, log_of, write_log

# version-1.jsonl is from the last commit that wrote version 1; version-2.jsonl and version-3.jsonl are parts
# of runs on Debian stable.
LINE = Draft202012Validator(log_schema())
BASELINE = Draft202012Validator(baseline_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
ENTRY = {"clause": "LOCK-1", "subject": "*", "reason": "r", "url": "https://example.org/1", "until": "2026-12-31"}


def errors(written: Iterable[dict[str, Any]]) -> list[str]:
    return [str(error) for line in written for error in LINE.iter_errors(line)]


@pytest.mark.parametrize(("path", "text"), schemas().items(), ids=lambda value: getattr(value, "name", ""))
def test_the_published_schemas_are_current(path: Path, text: str) -> None:
    assert path.read_text("utf-8") == text, "run python -m helpers.results.schema and commit docs/schema"
    Draft202012Validator.check_schema(json.loads(text))


def test_a_log_of_version_1() -> None:
    path = OLD_LOGS / "version-1.jsonl"
    log = read_log(path)
    assert [result.outcome for result in log.results] == [PASSED, FAILED]
    assert log.selection == "-k lock" and log.status == 1 and log.subjects[0].dialect == "mainline"


def test_a_log_of_version_2() -> None:
    path = OLD_LOGS / "version-2.jsonl"
    log = read_log(path)
    assert [result.outcome for result in log.results] == [PASSED, KNOWN, NOT_APPLICABLE]
    assert [each.clauses for each in log.contract.differences] == [("LOCK-2", "LOCK-3", "MIGRATE-5"), ()]
    (info,) = log.subjects
    assert (info.known[0].clause, info.registers[0].name) == ("FILTER-14", "STD")
    assert {bool(service.register) for service in info.services} == {True, False}
    assert {each["record"] for each in lines(path)} == set(RECORDS)


def test_a_log_of_version_3() -> None:
    """Ids that ended in a number end in a word, so that this log can be compared with a current one."""
    log = read_log(OLD_LOGS / "version-3.jsonl")
    capability, access = (
        "suites/capability/test_capability.py::test_register_list",
        "suites/access/test_reg_list.py::test_listed_is_readable",
    )
    names = [f"{capability}[vcpu0]", f"{capability}[vcpu1]", f"{access}[vcpu1]"]
    for cases in (log.collected, log.started, log.results):
        assert [case.nodeid for case in cases][:3] == names
    assert [result.outcome for result in log.results] == [PASSED, PASSED, PASSED, KNOWN]
    assert verdicts(log)[0].status == 0 and not log.session.strict


@pytest.mark.parametrize(
    ("parameters", "renamed"),
    [
        ("0", "vcpu0"),
        ("debian:stable-1", "debian:stable-vcpu1"),
        ("a[0]-1", "a[0]-vcpu1"),
        ("vcpu1", "vcpu1"),
        ("10", "10"),
    ],
)
def test_names_of_version_3(parameters: str, renamed: str, tmp_path: Path) -> None:
    names = ("suites/capability/test_capability.py::test_register_list", "suites/lock/test_lock.py::test_other")
    path = tmp_path / "results.jsonl"
    log = log_of(*(Result(f"{name}[{parameters}]", STABLE, PASSED) for name in names))
    write_log(path, replace(log, session=replace(log.session, version=3)))
    read = [result.nodeid for result in read_log(path).results]
    assert read == [f"{names[0]}[{renamed}]", f"{names[1]}[{parameters}]"]


@pytest.mark.parametrize("path", sorted(OLD_LOGS.glob("*.jsonl")), ids=lambda path: path.name)
def test_old_logs_are_valid_when_written_again(path: Path, tmp_path: Path) -> None:
    old = read_log(path)
    new = replace(old, session=replace(old.session, version=VERSION))
    assert read_log(write_log(tmp_path / "new.jsonl", new)) == new
    assert errors(lines(tmp_path / "new.jsonl")) == []


@pytest.mark.parametrize(
    "line",
    [
        {"record": "dance"},
        {"status": 0},
        {"record": "end"},
        {"record": "end", "status": "0"},
        {"record": "collected", "tests": [["a"]]},
        {"record": "result", "nodeid": "a", "subject": None, "outcome": "good"},
        {"record": "start", "nodeid": "a", "subject": "a label"},
        {"record": "session", "version": 3, "argv": [], "subjects": [], "time": 0},
        {"record": "session", "version": 99, "argv": [], "subjects": [], "time": 0},
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(line: dict[str, Any]) -> None:
    assert errors([line])


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"clause": None, "test": "suites/lock/*"}, True),
        ({"test": "suites/lock/*"}, False),
        ({"clause": None}, False),
        ({"clause": 1}, False),
        ({"url": None}, False),
        ({"reason": " "}, False),
        ({"until": "soon"}, False),
        ({"until": None}, False),
        ({"more": "x"}, False),
    ],
)
def test_a_baseline_is_valid_if_it_can_be_read(changes: dict[str, Any], valid: bool, tmp_path: Path) -> None:
    entry = {name: value for name, value in (ENTRY | changes).items() if value is not None}
    path = tmp_path / "baseline.toml"
    path.write_text("[[deviation]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items()))
    assert BASELINE.is_valid(tomllib.loads(path.read_text())) is valid
    if valid:
        assert read_baseline(path)
    else:
        with pytest.raises(UsageError, match="deviation 1"):
            read_baseline(path)
