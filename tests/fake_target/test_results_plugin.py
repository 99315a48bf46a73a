# SPDX-License-Identifier: GPL-2.0-only
"""The recorder in real pytest runs of small throw-away projects: status, last line, files."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from helpers.identity import Reach, SubjectId
from helpers.results.log import read_log
from helpers.results.records import ERROR, FAILED, NOT_MEASURED
from helpers.results.verdict import VerdictKind, verdicts
from tests.support.throwaway import BAD, GOOD, MODES, SUBJECTS, UNMEASURED, RecorderProject

HARNESS_ERROR = "from helpers.errors import HarnessError\ndef test_h(): raise HarnessError('the VM is gone')\n"
DROPS = "def pytest_collection_modifyitems(config, items):\n    config.hook.pytest_deselected(items=[items.pop()])\n"


@MODES
def test_conformant(project: RecorderProject, mode: tuple[str, ...]) -> None:
    assert project.run(*mode, suite=GOOD) == (
        0,
        "CONFORMANT debian:stable (Linux 6.12.107, mainline, 3 registers): "
        "0 failed, 2 passed, 1 not applicable, 0 errors, 0 not run",
    )
    assert sorted(path.name for path in project.reports.iterdir()) == ["junit.xml", "report.html", "results.jsonl"]


@MODES
def test_non_conformant(project: RecorderProject, mode: tuple[str, ...]) -> None:
    status, line = project.run(*mode, suite=GOOD + BAD)
    assert status == 1
    assert line.startswith("NON-CONFORMANT debian:stable")
    assert line.endswith("1 failed, 2 passed, 1 not applicable, 0 errors, 0 not run; broken clauses: LOCK-1")


@MODES
def test_not_measured(project: RecorderProject, mode: tuple[str, ...]) -> None:
    """A separate outcome in the log, on the terminal and in the page: neither a skip nor a failure."""
    project.file("suites/test_a.py", GOOD + UNMEASURED)
    ended = project.session(*mode, "-rs")
    assert ended.status == 0 and "2 passed, 1 skipped, " in ended.out and ", 1 not measured in " in ended.out
    assert "NOT MEASURED suites/test_a.py::test_unmeasured: no write met the run" in ended.lines
    assert ended.lines[-1].startswith("CONFORMANT, 1 not measured on debian:stable")
    assert unmeasured(project) == {"suites/test_a.py::test_unmeasured": "no write met the run"}
    text = (project.reports / "report.html").read_text()
    assert outcomes_shown(text) == ["1 not measured", "1 not applicable", "2 passed"]
    assert sorted(row["result"] for row in rows_of(text)) == ["Passed", "Passed", "Skipped", "XPassed"]


def unmeasured(project: RecorderProject) -> dict[str, str]:
    results = read_log(project.reports / "results.jsonl").results
    return {each.nodeid: each.message for each in results if each.outcome == NOT_MEASURED}


@MODES
def test_strict(project: RecorderProject, mode: tuple[str, ...]) -> None:
    status, line = project.run(*mode, "--strict", suite=GOOD + UNMEASURED)
    assert status == 3 and line.startswith("INCONCLUSIVE, 1 not measured on debian:stable"), line
    assert "1 test not measured (--strict), first suites/test_a.py::test_unmeasured: no write met the run" in line
    assert project.run(*mode, "--strict", suite=GOOD)[0] == 0
    assert project.run(*mode, "--strict", suite=GOOD + UNMEASURED + BAD)[0] == 1


FIXTURES = """
import pytest
from helpers.errors import NotMeasured
@pytest.fixture
def before(): raise NotMeasured("before")
@pytest.fixture
def after():
    yield
    raise NotMeasured("after")
@pytest.fixture
def broken():
    yield
    raise OSError
class KernelComplained(Exception): pass
@pytest.fixture
def warns():
    yield
    raise KernelComplained("WARNING")
"""


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("def test_x(before): pass", NOT_MEASURED),
        ("def test_x(after): pass", ERROR),
        ("def test_x(broken): raise NotMeasured('call')", ERROR),
        ("def test_x(warns): raise NotMeasured('call')", FAILED),
        ("@pytest.mark.xfail\ndef test_x(): raise NotMeasured('call')", NOT_MEASURED),
    ],
    ids=["setup", "teardown", "broken teardown", "kernel complains", "xfail"],
)
def test_not_measured_hides_nothing(project: RecorderProject, text: str, outcome: str) -> None:
    project.run(suite=FIXTURES + text + "\n")
    (result,) = read_log(project.reports / "results.jsonl").results
    assert result.outcome == outcome


def test_a_test_of_the_harness_that_raises_it_has_failed(project: RecorderProject) -> None:
    project.file("tests/test_own.py", UNMEASURED)
    status, line = project.run("suites", "tests", suite=GOOD)
    assert (status, line.split()[0]) == (1, "CONFORMANT")


def test_a_failure_that_is_not_measured_again_stays(project: RecorderProject) -> None:
    """Failed tests are repeated once. The second result must not replace the first."""
    conftest = project.folder / "conftest.py"
    head, foot = (
        "pytest_plugins = (",
        "\ndef pytest_addhooks(pluginmanager):\n    pluginmanager.add_hookspecs(hookspecs)\n",
    )
    text = conftest.read_text().replace(
        head, f'from helpers.plugin import hookspecs\n{head}"helpers.recording.repeat", '
    )
    conftest.write_text(text + foot)
    twice = (
        "import itertools\nfrom helpers.errors import NotMeasured\nCOUNT = itertools.count()\ndef test_bad():\n"
        "    if next(COUNT): raise NotMeasured('the second time')\n    assert False, 'the first time'\n"
    )
    status, line = project.run(suite=GOOD + twice)
    assert status == 1 and line.endswith("broken clauses: LOCK-1"), line


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_not_implemented(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.conftest(dialect="none")
    status, line = project.run(*mode, suite=GOOD)
    assert (status, line.split()[0]) == (5, "NOT-IMPLEMENTED")


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
@pytest.mark.parametrize(
    "text",
    [
        HARNESS_ERROR,
        "import pytest\n@pytest.fixture\ndef broken(): raise OSError\ndef test_s(broken): pass\n",
        "import pytest\n@pytest.fixture\ndef late():\n    yield\n    raise OSError\ndef test_t(late): pass\n",
        "import nothing_of_that_name\n",
        "import pytest\ndef test_x(): pytest.exit('enough', returncode=0)\n",
    ],
    ids=["harness error", "setup", "teardown", "import", "exit"],
)
def test_inconclusive(project: RecorderProject, text: str, mode: tuple[str, ...]) -> None:
    project.file("suites/test_b.py", text)
    status, line = project.run(*mode, suite=GOOD)
    assert (status, line.split()[0]) == (3, "INCONCLUSIVE")


def test_why_the_session_was_ended_is_in_the_verdict(project: RecorderProject) -> None:
    project.file("suites/test_a.py", GOOD)
    text = (
        "from helpers.errors import HarnessError\nfrom helpers.identity import SubjectId\n"
        "from helpers.recording.recorder import Inconclusive\n"
        "def test_x():\n    error = HarnessError('It has no KVM', cure='Build it in')\n"
        "    raise Inconclusive(SubjectId('debian:stable'), error)\n"
    )
    project.file("suites/test_b.py", text)
    status, line = project.run()
    assert status == 3
    assert "because It has no KVM. Build it in;" in line and "internal error" not in line


def test_a_harness_error_is_no_failure_in_the_html(project: RecorderProject) -> None:
    assert project.run(suite=GOOD + HARNESS_ERROR)[0] == 3
    text = (project.reports / "report.html").read_text()
    assert outcomes_shown(text) == ["1 error", "1 not applicable", "2 passed"]
    assert "Failed" not in [row["result"] for row in rows_of(text)]


def test_a_dead_worker(project: RecorderProject) -> None:
    status, line = project.run("-n", "2", suite=GOOD + "import os\ndef test_dies(): os._exit(1)\n")
    assert (status, line.split()[0]) == (3, "INCONCLUSIVE")
    assert "crashed while running" in line
    assert "crashed while running" in (project.reports / "report.html").read_text()


def test_a_dead_run_leaves_a_log_that_is_not_green(project: RecorderProject) -> None:
    project.run(suite=GOOD + "import os\ndef test_dies(): os._exit(0)\n")
    (verdict,) = verdicts(read_log(project.reports / "results.jsonl"))
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert "running when the run ended: suites/test_a.py::test_dies" in verdict.line


@pytest.mark.parametrize("mode", [("-x",), ("-x", "-n", "2")], ids=" ".join)
def test_stopping_early(project: RecorderProject, mode: tuple[str, ...]) -> None:
    status, line = project.run(*mode, suite=BAD + GOOD)
    assert (status, line.split()[0]) == (1, "NON-CONFORMANT")


def test_stopping_early_at_an_error(project: RecorderProject) -> None:
    status, line = project.run("-x", suite="def test_e(missing_fixture): pass\n" + GOOD)
    assert (status, line.split()[0]) == (3, "INCONCLUSIVE")
    assert "3 not run" in line


@pytest.mark.parametrize("before", ["", BAD], ids=["passed", "failed"])
def test_interrupted(project: RecorderProject, before: str) -> None:
    status, line = project.run(suite=before + "def test_i(): raise KeyboardInterrupt\n" + GOOD)
    assert (status, line.split()[0]) == ((1, "NON-CONFORMANT") if before else (3, "INCONCLUSIVE"))
    assert read_log(project.reports / "results.jsonl").status == 2


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("-k", "good or other"), "-k 'good or other'"),
        (("-m", "not slow"), "-m 'not slow'"),
        (("suites/test_a.py",), "suites/test_a.py"),
        (("suites/test_a.py::test_good",), "suites/test_a.py::test_good"),
        (("--deselect", "suites/test_a.py::test_good"), "--deselect suites/test_a.py::test_good"),
        (("--ignore", "suites/test_b.py"), "--ignore suites/test_b.py"),
        (("suites/test_a.py", "-n", "2"), "suites/test_a.py"),
        (("-k", "good", "-n", "2"), "-k good"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_selection(project: RecorderProject, args: tuple[str, ...], text: str) -> None:
    project.file("suites/test_b.py", GOOD)
    status, line = project.run(*args, suite=GOOD)
    assert status == 0
    assert line.startswith(f"SELECTION PASSED: {text} on debian:stable")
    assert "CONFORMANT" not in line
    assert "CONFORMANT" not in (project.reports / "report.html").read_text()


@pytest.mark.parametrize("args", [("suites",), (".",), ("suites", "tests"), ("--ff",), ("suites/",)], ids=" ".join)
def test_all_of_it_is_no_selection(project: RecorderProject, args: tuple[str, ...]) -> None:
    project.file("tests/test_own.py", GOOD)
    # --ff is the cache plugin's.
    status, line = project.run("-p", "cacheprovider", *args, suite=GOOD)
    assert (status, line.split()[0]) == (0, "CONFORMANT")


def test_a_failing_test_of_the_harness_is_not_green(project: RecorderProject) -> None:
    project.file("tests/test_own.py", BAD)
    status, line = project.run("suites", "tests", suite=GOOD)
    assert (status, line.split()[0]) == (1, "CONFORMANT")


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_last_failed_is_a_selection(project: RecorderProject, mode: tuple[str, ...]) -> None:
    assert project.run("-p", "cacheprovider", suite=GOOD + BAD)[0] == 1
    status, line = project.run("-p", "cacheprovider", "--lf", *mode)
    assert status == 1 and line.startswith("SELECTION FAILED: --lf on debian:stable")


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_deselected_by_a_plugin_is_a_selection(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.file("suites/conftest.py", DROPS)
    assert project.run(*mode, suite=GOOD)[1].startswith("SELECTION PASSED: 1 deselected on")


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_an_empty_selection_is_inconclusive(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.conftest(dialect="none")
    status, line = project.run("-k", "nothing", *mode, suite=GOOD)
    assert status == 3 and line.startswith("SELECTION INCONCLUSIVE: -k nothing on debian:stable")


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("tests",), 0),
        (("tests", "-n", "2"), 0),
        (("tests", "-k", "nothing"), 5),
        ((".", "-k", "own"), 0),
        (("--collect-only",), 0),
        (("--collect-only", "-n", "2"), 0),
        (("--fixtures",), 0),
        (("--setup-plan",), 0),
        (("suites/missing.py",), 4),
        (("--no-such-option",), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_no_run_of_the_suites_leaves_nothing(
    project: RecorderProject, args: tuple[str, ...], status: int
) -> None:
    project.file("tests/test_own.py", "def test_own(): pass\n")
    got, line = project.run(*args, suite=GOOD)
    assert got == status
    assert "CONFORMANT" not in line and "INCONCLUSIVE" not in line
    assert not list(project.reports.glob("*.*")) if project.reports.exists() else True


def test_several_subjects(project: RecorderProject) -> None:
    project.conftest(subjects=(*SUBJECTS, SubjectId("a", Reach.BOARD), SubjectId("silent", Reach.BOARD)))
    head = "import pytest\n@pytest.mark.parametrize('subject', ['debian:stable', 'board:a'])\n"
    project.file("suites/test_a.py", head + "def test_p(subject): assert subject != 'board:a'\n")
    result = project.session("-n", "2")
    assert result.status == 1
    assert [line.split()[:2] for line in result.lines[-3:]] == [
        ["CONFORMANT", "debian:stable"],
        ["NON-CONFORMANT", "board:a"],
        ["INCONCLUSIVE", "board:silent:"],
    ]


def test_expected_failures_are_failures(project: RecorderProject) -> None:
    assert project.run(suite=GOOD + "@pytest.mark.xfail\n" + BAD)[0] == 1


def test_each_test_has_one_result(project: RecorderProject) -> None:
    text = "import pytest\n@pytest.fixture\ndef bad():\n    yield\n    raise OSError\n"
    project.run("--dist", "each", "--tx", "2*popen", suite=text + "def test_both(bad): assert False\n")
    log = read_log(project.reports / "results.jsonl")
    assert [result.outcome for result in log.results] == ["failed"]


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_reports_that_cannot_be_written(project: RecorderProject, mode: tuple[str, ...]) -> None:
    project.reports.write_text("a file in the way")
    status, line = project.run(*mode, suite=GOOD)
    assert status == 3
    assert line.startswith("INCONCLUSIVE: The results log") and "cannot be written" in line


@pytest.mark.parametrize("name", ["results.jsonl", "report.html", "junit.xml"])
def test_a_full_disk(project: RecorderProject, name: str) -> None:
    project.file("suites/test_a.py", GOOD)
    project.reports.mkdir()
    (project.reports / name).symlink_to("/dev/full")
    result = project.session()
    assert result.status == 3
    assert result.lines[-1].startswith("INCONCLUSIVE: ") and "No space left" in result.lines[-1]
    assert "Traceback" not in result.err + result.out


def test_html(project: RecorderProject) -> None:
    project.run(suite=GOOD + BAD.replace("<0>", "<script>alert(1)</script>"))
    text = (project.reports / "report.html").read_text()
    assert "NON-CONFORMANT debian:stable (Linux 6.12.107, mainline, 3 registers)" in text
    assert "1 failed, 2 passed, 1 not applicable, 0 errors, 0 not run" in text
    for part in ("Broken clauses: LOCK-1", "Not applicable", "PTP is missing", "hypercalls.rst", "Requirement"):
        assert part in text
    assert "<script>alert" not in text
    assert "Links</th>" not in text


def test_html_shows_failures_first(project: RecorderProject) -> None:
    project.run(suite=GOOD + "def test_error(missing_fixture): pass\n" + BAD)
    text = (project.reports / "report.html").read_text()
    assert re.findall(r'<article class="finding (\w+)"', text) == ["failed", "error"]
    assert outcomes_shown(text) == ["1 failed", "1 error", "1 not applicable", "2 passed"]
    logs = sorted((row["result"], bool(row["log"])) for row in rows_of(text))
    assert logs == [("Error", True), ("Failed", True), ("Passed", False), ("Passed", False), ("Skipped", False)]


def outcomes_shown(text: str) -> list[str]:
    """The headings of the chapter of all results."""
    return [f"{count} {word}" for count, word in re.findall(r"</span> (\d+) ([a-z ]+)</summary>", text)]


def rows_of(text: str) -> list[dict[str, Any]]:
    """The rows of pytest-html's table."""
    (blob,) = re.findall(r'data-jsonblob="([^"]*)"', text)
    return [row for rows in json.loads(unescape(blob))["tests"].values() for row in rows]


@pytest.mark.parametrize("args", [(".", "-k", "own"), ("suites/missing.py",)], ids=" ".join)
def test_what_is_no_run_of_the_suites_keeps_an_earlier_report(project: RecorderProject, args: tuple[str, ...]) -> None:
    project.file("tests/test_own.py", "def test_own(): pass\n")
    project.run(suite=GOOD)
    files = {path.name: path.read_bytes() for path in project.reports.iterdir()}
    assert project.run(*args)[1] == "No test of suites/ was run: the reports are unchanged."
    assert files == {path.name: path.read_bytes() for path in project.reports.iterdir()}


def test_html_of_ones_own_wins(project: RecorderProject) -> None:
    assert project.run("--html=mine.html", suite=GOOD)[0] == 0
    assert (project.folder / "mine.html").exists()
    assert not (project.reports / "report.html").exists()


def test_without_pytest_html(project: RecorderProject) -> None:
    assert project.run("-p", "no:html", suite=GOOD)[0] == 0


def test_each_workers_boot_is_told_of_once(project: RecorderProject) -> None:
    conftest = project.folder / "conftest.py"
    text = conftest.read_text()
    assert text.count('"registers": "3"') == 1
    conftest.write_text("import os\n" + text.replace('"registers": "3"', '"registers": "3", "boot": str(os.getpid())'))
    many = "import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_good(n): pass\n"
    assert project.run("-n", "2", "--dist=each", suite=many)[0] == 0
    records = [json.loads(line) for line in (project.reports / "results.jsonl").read_text().splitlines()]
    assert len([each for each in records if each["record"] == "subject"]) == 2
