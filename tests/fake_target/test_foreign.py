# SPDX-License-Identifier: GPL-2.0-only
"""What a pytest plugin or a wrong root does to the suite's tests: a harness error or wrong usage, never a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.results.verdict import Verdict, verdicts
from tests.support.sessions import Project

BOARD = "--board=root@nowhere"
SUITE = """
from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.errors import NotMeasured
def test_compares():
    comparison = Comparison()
    comparison.value("a register", 1, 2)
    comparison.done()
def test_asserts(): assert not "this"
def test_calls(): raise KvmError("KVM_RUN failed")
def test_fails(): pytest.fail("the shortest sequence", pytrace=False)
def test_skips(): pytest.skip("not applicable, because it has none")
def test_stages(): raise NotMeasured("no write met the first run")
def test_passes(): pass
"""
FINDINGS = {"test_compares": "failed", "test_asserts": "failed", "test_calls": "failed", "test_fails": "failed"}
OTHERS = {"test_stages": "not-measured", "test_skips": "not-applicable", "test_passes": "passed"}
PLUGINS = {
    "a timeout": (
        "import signal, time\n"
        "def ring(number, frame): pytest.fail('Timeout (>0.1s) from a plugin')\n"
        "def pytest_runtest_call(item):\n"
        "    signal.signal(signal.SIGALRM, ring)\n    signal.setitimer(signal.ITIMER_REAL, 0.1)\n    time.sleep(5)\n",
        "ended with Failed",
    ),
    "an assertion": ("def pytest_runtest_call(item): assert item is None\n", "ended with AssertionError"),
    "another exception": ("def pytest_runtest_call(item): raise ValueError('no such item')\n", "ended with ValueError"),
    "an exit": ("def pytest_runtest_call(item): raise SystemExit(0)\n", "ended with SystemExit"),
    "a skip": ("def pytest_runtest_call(item): pytest.skip('on this machine')\n", "was skipped"),
    "a skip in the setup": ("def pytest_runtest_setup(item): pytest.skip('on this machine')\n", "was skipped"),
    "a mark": (
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.skip('on this machine'))\n",
        "was skipped",
    ),
    "a failed report": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n    report = yield\n"
        "    report.outcome, report.longrepr = 'failed', 'too slow'\n    return report\n",
        "changed the outcome of the test to failed: too slow",
    ),
    "a passed report": (
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n    report = yield\n"
        "    report.outcome = 'passed'\n    return report\n"
        "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if i.name == 'test_asserts']\n",
        "changed the outcome of the test to passed",
    ),
}


@pytest.fixture
def suite(tmp_path: Path) -> Project:
    project = Project(tmp_path / "checkout")
    (project.folder / "suites/test_it.py").write_text(
        f"import pytest\npytestmark = pytest.mark.clause('CAP-1')\n{SUITE}"
    )
    return project


def the_verdict(project: Project) -> Verdict:
    (verdict,) = verdicts(project.log)
    return verdict


def test_the_suites_own_checks_are_findings(suite: Project) -> None:
    assert suite.run(BOARD)[0] == 1
    assert suite.outcomes() == FINDINGS | OTHERS
    assert the_verdict(suite).broken == ("CAP-1",)


@pytest.mark.parametrize(("plugin", "message"), PLUGINS.values(), ids=PLUGINS)
def test_what_a_plugin_does_is_no_finding(plugin: str, message: str, suite: Project) -> None:
    (suite.folder / "meddler.py").write_text(f"import pytest\n{plugin}")
    suite.path.append(suite.folder)
    status, text = suite.run(BOARD, "-p", "meddler")
    assert status == 3, text
    assert set(suite.outcomes().values()) == {"error"}
    assert not the_verdict(suite).broken
    assert {message in result.message for result in suite.results().values()} == {True}


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
def test_a_shuffled_order_changes_nothing(mode: tuple[str, ...], suite: Project) -> None:
    (suite.folder / "shuffle.py").write_text(
        "import random\ndef pytest_collection_modifyitems(items): random.Random(1).shuffle(items)\n"
    )
    suite.path.append(suite.folder)
    assert suite.run(BOARD, "-p", "shuffle", *mode)[0] == 1
    assert suite.outcomes() == FINDINGS | OTHERS


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=" ".join)
@pytest.mark.parametrize("options", [("--rootdir=../elsewhere",), ("-c", "../elsewhere/other.ini")], ids=" ".join)
def test_another_root_changes_nothing(options: tuple[str, ...], mode: tuple[str, ...], suite: Project) -> None:
    elsewhere = suite.folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.ini").write_text("[pytest]\n")
    suite.run(BOARD, "suites")
    nodeids = {each.nodeid for each in suite.log.results}
    (suite.folder / "reports/results.jsonl").unlink()
    status, text = suite.run(BOARD, *options, *mode, "suites")
    assert status == 1 and "NON-CONFORMANT, 1 not measured on board:root@nowhere" in text, text
    assert "PytestUnknownMarkWarning" not in text
    assert suite.outcomes() == FINDINGS | OTHERS
    assert {each.nodeid for each in suite.log.results} == nodeids
    assert suite.run(BOARD, *options, "--reruns=1", "suites")[0] == 4


def test_without_the_suites_conftest_nothing_runs(suite: Project) -> None:
    status, text = suite.run("--confcutdir=suites", "suites")
    assert status == 4 and "conftest.py" in text and not (suite.folder / "reports").exists()
