# SPDX-License-Identifier: GPL-2.0-only
"""The machine reports, read by the programs that they are for: Jenkins' schema and the kernel's KTAP parser."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.command.report import main
from helpers.results.log import read_log
from helpers.results.records import ERROR, FAILED, KNOWN, NOT_APPLICABLE, NOT_MEASURED, PASSED
from helpers.results.rows import sections
from tests.support import junitxsd, kunit
from tests.support.reports import LOGS


@LOGS
def test_junit_is_valid_by_the_schema_that_jenkins_has(log: Callable[[Path], Path], tmp_path: Path) -> None:
    main([f"--junit={tmp_path / 'junit.xml'}", str(log(tmp_path / "results.jsonl"))])
    schema = junitxsd.schema()
    assert [str(error) for error in schema.iter_errors(str(tmp_path / "junit.xml"))] == []
    root = ET.parse(tmp_path / "junit.xml").getroot()
    ET.SubElement(root[0], "properti")
    assert not schema.is_valid(root)


@pytest.mark.parametrize("form", ["ktap", "ktap-flat"])
@LOGS
def test_the_kernels_own_parser_reads_ktap(log: Callable[[Path], Path], form: str, tmp_path: Path) -> None:
    path = log(tmp_path / "results.jsonl")
    main([f"--{form}={tmp_path / form}", str(path)])
    status, counts, bad = kunit.parsed(tmp_path / form)
    rows = Counter(row.outcome for section in sections(read_log(path)) for row in section.rows)
    red = rows[FAILED] + rows[ERROR]
    wanted = {"passed": rows[PASSED] + rows[KNOWN], "failed": red, "skipped": rows[NOT_APPLICABLE] + rows[NOT_MEASURED]}
    assert counts == {name: count for name, count in wanted.items() if count}
    assert (status == 0) is (red == 0)
    if form == "ktap-flat":
        assert len(bad) == red
