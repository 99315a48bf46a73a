# SPDX-License-Identifier: GPL-2.0-only
"""Sessions with a baseline: the last lines name what gated, and no such session is falsely green."""

from __future__ import annotations

import pytest

from helpers.identity import Reach, SubjectId
from tests.support.throwaway import BAD, GOOD, RecorderProject

SUBJECT, BOARD = SubjectId("debian:stable"), SubjectId("a", Reach.BOARD)


def gated(
    project: RecorderProject, *arguments: str, subjects: tuple[SubjectId, ...] = (SUBJECT,)
) -> tuple[int, list[str]]:
    """The exit status and the lines of a session with a baseline for the clause of BAD."""
    project.conftest(fine="CAP-1", subjects=subjects)
    text = (project.folder / "conftest.py").read_text()
    text = text.replace('SUBJECTS), "recorder"', 'SUBJECTS, judge=JUDGE), "recorder"')
    text += (
        "\nfrom datetime import date\nfrom helpers.results.columns import columns\n"
        "from helpers.results.baseline import Waiver\nfrom helpers.results.gate import gate\n"
        "ENTRIES = (Waiver('LOCK-1', '', '*', 'r', 'https://e', date(9999, 1, 1)),)\n"
        "JUDGE = lambda log: gate(columns([log]), ENTRIES, 'mainline', date.today())\n"
    )
    (project.folder / "conftest.py").write_text(text)
    ended = project.session("-p", "no:cacheprovider", *arguments)
    return ended.status, ended.lines


DIES = "\ndef test_bad_dies():\n    import os; os._exit(1)\n"
LIES = "\nfrom helpers.errors import HarnessError\ndef test_bad_harness():\n    raise HarnessError('no network')\n"
SKIPS = "\nimport pytest\npytestmark = pytest.mark.skip(reason='not applicable, because so')\n"


NOT_GREEN: dict[str, tuple[str, tuple[str, ...], tuple[SubjectId, ...], str]] = {
    "a worker died": (GOOD + BAD + DIES, ("-n", "2"), (SUBJECT,), "crashed while running"),
    "harness error": (GOOD + BAD + LIES, (), (SUBJECT,), "no network"),
    "all skipped": (GOOD + BAD + SKIPS, (), (SUBJECT,), "no test passed"),
    "empty selection": (GOOD + BAD, ("-k", "nothing"), (SUBJECT,), "no test was run"),
    "only what is in the baseline": (GOOD + BAD, ("-k", "bad"), (SUBJECT,), "no test passed"),
    "stopped early": (BAD + GOOD, ("-x",), (SUBJECT,), "collected tests not run"),
    "stopped early by workers": (BAD + GOOD, ("--maxfail=1", "-n", "2"), (SUBJECT,), "GATE"),
    "a subject never started": (GOOD + BAD, (), (SUBJECT, BOARD), "board:a: INCONCLUSIVE"),
    "a file that cannot be imported": ("import nowhere\n" + GOOD + BAD, (), (SUBJECT,), "ImportError"),
}


@pytest.mark.parametrize(("text", "arguments", "subjects", "part"), NOT_GREEN.values(), ids=NOT_GREEN)
def test_no_session_is_falsely_green(
    text: str, arguments: tuple[str, ...], subjects: tuple[SubjectId, ...], part: str, project: RecorderProject
) -> None:
    """The baseline excuses neither the harness nor missing results."""
    project.file("suites/test_a.py", text)
    status, lines = gated(project, *arguments, subjects=subjects)
    last = [line for line in lines if line.startswith("GATE")]
    assert status == 3, lines
    assert last[-1] == lines[-1] == "GATE closed with status 3"
    assert any(part in line for line in lines[-5:]), lines


def test_a_gate_without_a_test_of_the_suites_is_closed(project: RecorderProject) -> None:
    """As with a mistyped path: no test failed, because none was run."""
    project.file("suites/test_a.py", GOOD)
    project.file("tests/test_b.py", "def test_harness(): pass\n")
    status, lines = gated(project, "tests")
    assert status == 3 and lines[-2:] == ["GATE: no test of the suites was run", "GATE closed with status 3"]
    assert gated(project, "--collect-only", "-q")[0] == 0
    assert gated(project, "suites/none.py")[0] == 4


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_the_last_lines_say_what_gated(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.file("suites/test_a.py", GOOD + BAD)
    status, lines = gated(project, *mode)
    assert status == 0
    lines = lines[-3:]
    assert lines[0].startswith("NON-CONFORMANT") and lines[2] == "GATE passed"
    assert lines[1] == "GATE: debian:stable: 1 failure, each in the baseline"
