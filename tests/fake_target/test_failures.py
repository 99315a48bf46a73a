# SPDX-License-Identifier: GPL-2.0-only
"""A failure on the terminal: test, clause, expected and actual values, calls, command; no frames and no fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.contract.clauses import CLAUSES
from helpers.recording.failures import LAST_CALLS
from tests.support.sessions import Project

SUITE = """
import pytest
from helpers.contract.check import Comparison
from helpers.errors import HarnessError

@pytest.fixture
def thing():
    return {"a fixture": "with a long repr"}

@pytest.mark.clause("CAP-1", "LOCK-1")
def test_compares(thing):
    comparison = Comparison()
    comparison.error("write of 0x0 to STD", 16, 0)
    comparison.done()

@pytest.mark.clause("CAP-1")
def test_finds():
    pytest.fail("The answer breaks the contract.\\nC reproducer: reports/reproducers/test_finds.c", pytrace=False)

@pytest.mark.clause("CAP-1")
def test_breaks():
    raise HarnessError("The VM is gone")
"""
CALLS = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        lines = "\\n".join(f"vm1.vcpu0: CALL_{n}() = 0" for n in range(40))
        report.user_properties = [*report.user_properties, ("calls", lines)]
    return report
"""
MODES = pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
BOARD = "--board=root@nowhere"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    (tmp_path / "suites/test_it.py").write_text(SUITE)
    conftest = tmp_path / "conftest.py"
    # Without a kernel there are no calls.
    (tmp_path / "calls.py").write_text(CALLS)
    conftest.write_text(
        conftest.read_text().replace('"helpers.recording.repeat",', '"helpers.recording.repeat", "calls",')
    )
    return project


def failures(text: str, name: str) -> str:
    """The text of one failure."""
    _, _, after = text.partition(f" {name} ___")
    return after.partition("\n")[2].partition("\n___")[0].partition("\n===")[0]


@MODES
def test_in_the_order_of_reading(project: Project, mode: tuple[str, ...]) -> None:
    status, text = project.run(BOARD, *mode)
    assert status == 1
    shown = failures(text, "test_compares")
    order = (
        "suites/test_it.py::test_compares on board:root@nowhere",
        "CAP-1: ",
        "LOCK-1: ",
        "Source: ",
        "1 of 1 comparisons failed:",
        "write of 0x0 to STD",
        "expected: EBUSY",
        "actual:   success",
        f"System calls of the test (-v shows {40 - LAST_CALLS} earlier lines):",
        "CALL_39",
        "Repeat: ",
        " -m pytest --board=root@nowhere suites/test_it.py::test_compares",
    )
    places = [shown.find(each) for each in order]
    assert -1 not in places and places == sorted(places), shown
    hidden = f"CALL_{40 - LAST_CALLS - 1}("
    for unwanted in ("check.py", "done()", "a fixture", "def test_compares", "AssertionError", hidden):
        assert unwanted not in shown, unwanted
    assert "FAILED suites/test_it.py::test_compares - " in text


@MODES
def test_other_failures(project: Project, mode: tuple[str, ...]) -> None:
    _, text = project.run(BOARD, *mode)
    found, broken = failures(text, "test_finds"), failures(text, "test_breaks")
    assert "C reproducer: reports/reproducers/test_finds.c" in found and found.count("CAP-1: ") == 1
    assert "HARNESS ERROR, not a finding about the kernel: The VM is gone." in broken
    assert "CAP-1: " not in broken and "Repeat: " in broken
    results = project.results()
    assert results["test_breaks"].message == "The VM is gone."
    assert results["test_compares"].message.startswith("AssertionError: 1 of 1 comparisons")
    assert "Repeat" not in "".join(each.message for each in results.values())


@MODES
def test_an_unexpected_exception_keeps_its_frames(project: Project, mode: tuple[str, ...]) -> None:
    text = SUITE + "\n@pytest.mark.clause('CAP-1')\ndef test_raises():\n    [].pop()\n"
    (project.folder / "suites/test_it.py").write_text(text)
    status, text = project.run(BOARD, *mode)
    shown = failures(text, "test_raises")
    assert status == 1 and "HARNESS ERROR, not a finding about the kernel: " in shown and "[].pop()" in shown
    assert "pop from empty list" in project.results()["test_raises"].message


@MODES
def test_more_is_shown_when_asked_for(project: Project, mode: tuple[str, ...]) -> None:
    _, text = project.run(BOARD, "-v", "--tb=short", *mode)
    shown = failures(text, "test_compares")
    assert "CALL_0()" in shown and "-v shows" not in shown
    assert "suites/test_it.py:14: in test_compares" in shown and "check.py" not in shown


@pytest.mark.parametrize("style", ["no", "line"])
def test_less(project: Project, style: str) -> None:
    _, text = project.run(BOARD, f"--tb={style}")
    assert "Repeat: " not in text


def test_the_command_repeats_the_test(project: Project) -> None:
    _, text = project.run(BOARD)
    (line,) = (each for each in failures(text, "test_compares").splitlines() if each.startswith("Repeat: "))
    words = line.split()
    status, again = project.run(*words[words.index("pytest") + 1 :])
    assert status == 1 and "1 failed" in again


@MODES
@pytest.mark.parametrize("options", [(), ("--model-steps=9",)], ids=["fixed", "random"])
def test_the_files_and_the_seed_of_a_run_are_the_workers_too(
    project: Project, options: tuple[str, ...], mode: tuple[str, ...]
) -> None:
    """A test of suites/model writes its C program to the reports, and prints the seed."""
    body = "\n@pytest.mark.clause('CAP-1')\ndef test_x(keep_reproducer, model_steps):\n"
    body += "    pytest.fail(f'{keep_reproducer(str())} seed {model_steps[1]}', pytrace=False)\n"
    (project.folder / "suites/test_it.py").write_text("import pytest\n" + body)
    _, text = project.run(BOARD, *options, *mode)
    environment = project.log.session.environment
    seed = environment["model seed"] if options else "0"
    assert f"{project.folder}/reports/reproducers/test_x.c seed {seed}" in failures(text, "test_x"), text
    assert (project.folder / "reports/reproducers/test_x.c").exists()


@MODES
def test_a_test_can_find_out_which_clauses_are_broken(project: Project, mode: tuple[str, ...]) -> None:
    body = "\n@pytest.mark.clause('MODEL-1')\ndef test_x(breaks):\n"
    body += "    breaks(('MODEL-1', 'FILTER-4'))\n    pytest.fail('An answer is wrong.', pytrace=False)\n"
    (project.folder / "suites/test_it.py").write_text("import pytest\n" + body)
    status, text = project.run(BOARD, *mode)
    assert status == 1 and "broken clauses: FILTER-4, MODEL-1" in text
    result = project.results()["test_x"]
    assert result.clauses == ("MODEL-1", "FILTER-4") and CLAUSES["FILTER-4"].text in result.requirement
    assert "FILTER-4: " in failures(text, "test_x")
