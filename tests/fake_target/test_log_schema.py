# SPDX-License-Identifier: GPL-2.0-only
"""A log as a session writes it, line by line against the published schema."""

from __future__ import annotations

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from helpers.results.log import RECORDS
from helpers.results.schema import log_schema
from tests.support.reports import lines
from tests.support.throwaway import BAD, GOOD, RecorderProject


def test_every_line_of_a_run(project: RecorderProject) -> None:
    known = {"name": "early-lock", "clause": "LOCK-1", "reason": "It locks early.", "link": "https://example.org/1"}
    project.conftest(known=(known,), fine="CAP-1")
    project.run("-n", "2", suite=GOOD + BAD)
    written = lines(project.reports / "results.jsonl")
    assert {each["record"] for each in written} == set(RECORDS)
    assert [str(error) for line in written for error in Draft202012Validator(log_schema()).iter_errors(line)] == []
