# SPDX-License-Identifier: GPL-2.0-only
"""Sessions with known deviations: counted by name in every report, and nothing else is excused."""

from __future__ import annotations

from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from helpers.results.log import read_log
from helpers.results.records import KnownDeviation
from tests.support.throwaway import BAD, GOOD, MODES, RecorderProject

ENTRY = KnownDeviation("early-lock", "LOCK-1", "It locks early.", "https://example.org/1")
AS_DICT = asdict(ENTRY)


@MODES
def test_a_known_deviation_is_named_and_conformant(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.conftest(known=(AS_DICT,), fine="CAP-1")
    status, line = project.run(*mode, suite=GOOD + BAD)
    assert (status, line) == (
        0,
        "CONFORMANT, 1 known deviation: early-lock on debian:stable (Linux 6.12.107, mainline, 3 registers): "
        "0 failed, 2 passed, 1 not applicable, 1 known to deviate, 0 errors, 0 not run",
    )


def test_the_reports_show_it(project: RecorderProject) -> None:
    project.conftest(known=(AS_DICT,), fine="CAP-1")
    project.run(suite=GOOD + BAD)
    text = (project.reports / "report.html").read_text()
    assert "It locks early." in text and '<a href="https://example.org/1">' in text
    assert "<summary>Known deviations: 1</summary>" in text
    suite = ElementTree.parse(project.reports / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "2")
    assert [each.get("message", "").partition(":")[0] for each in suite.iter("skipped")].count("known deviation") == 1
    assert read_log(project.reports / "results.jsonl").subjects[0].known == (ENTRY,)


@pytest.mark.parametrize(
    "body",
    [
        "def test_bad(): raise RuntimeError('the kernel died')\n",
        "import pytest\n@pytest.mark.more\n" + BAD,
        "import pytest\n@pytest.fixture\ndef broken(): assert False\ndef test_bad(broken): pass\n",
    ],
    ids=["no assertion", "another clause too", "in the setup"],
)
def test_only_its_own_failed_assertion_is_excused(project: RecorderProject, body: str) -> None:
    project.conftest(known=(AS_DICT,), fine="CAP-1")
    status, line = project.run(suite=GOOD + body)
    assert status in (1, 3) and "known deviation:" not in line
