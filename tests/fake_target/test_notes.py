# SPDX-License-Identifier: GPL-2.0-only
"""Sessions with notes beside the results, and with tests that the suite does not run."""

from __future__ import annotations

import pytest

from helpers.results.log import read_log
from helpers.results.rows import sections
from helpers.results.verdict import verdicts
from tests.support.throwaway import BAD, GOOD, RecorderProject

MODES = pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
NOTED = "def test_noted(note):\n    note('CCSIDR 1 is refused: EINVAL')\n    note('CCSIDR 1 is refused: EINVAL')\n"
LEFT_OUT = "@pytest.mark.left_out\n@pytest.mark.parametrize('n', range(3))\ndef test_deadly(n): pass\n"
REASON = "two of its cases ended the kernel"


@MODES
def test_a_note_is_in_every_report_and_fails_nothing(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.file("suites/test_a.py", GOOD + NOTED)
    ended = project.session("-p", "no:cacheprovider", *mode)
    assert ended.status == 0 and ended.lines[-1].startswith("CONFORMANT debian:stable")
    assert [line for line in ended.lines if "CCSIDR" in line] == ["debian:stable: CCSIDR 1 is refused: EINVAL (1 test)"]
    log = read_log(project.reports / "results.jsonl")
    assert [each.notes for each in log.results if each.notes] == [("CCSIDR 1 is refused: EINVAL",)]
    assert "CCSIDR 1 is refused: EINVAL (1 test)" in (project.reports / "report.html").read_text()


@MODES
def test_what_was_not_run_has_its_reason_in_every_report(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.file("suites/test_a.py", GOOD + BAD + LEFT_OUT)
    # pytest prepares for the next test, which is left out here, and not for the one after it.
    project.file("suites/z/test_z.py", "def test_in_another_folder(): pass\n")
    ended = project.session("-p", "no:cacheprovider", *mode)
    assert ended.status == 1 and ended.lines[-1].startswith("NON-CONFORMANT debian:stable")
    assert ", 0 errors, 3 not run; broken clauses: LOCK-1" in ended.lines[-1]
    line = f"suites/test_a.py::test_deadly (3 cases): {REASON}"
    assert ended.lines.count(line) == 1 and "INTERNALERROR" not in ended.out
    log = read_log(project.reports / "results.jsonl")
    (section,) = sections(log)
    assert {each.message for each in section.rows if each.nodeid in section.not_run} == {f"not run: {REASON}"}
    assert line in (project.reports / "report.html").read_text()
    assert f"not run: {REASON}" in (project.reports / "junit.xml").read_text()


def test_what_was_not_run_is_never_green(project: RecorderProject) -> None:
    status, line = project.run(suite=GOOD + LEFT_OUT)
    assert status == 3 and f"3 collected tests not run, first suites/test_a.py::test_deadly[0]: {REASON}" in line
    (verdict,) = verdicts(read_log(project.reports / "results.jsonl"))
    assert len(verdict.not_run) == 3
