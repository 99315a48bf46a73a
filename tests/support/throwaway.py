# SPDX-License-Identifier: GPL-2.0-only
"""Small throw-away projects whose suites run in a separate pytest session with the recorder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from helpers.identity import SubjectId
from tests.support import ROOT
from tests.support.forks import Ended, ForkServer

REPORTS = "reports"
INI = "[pytest]\ntestpaths = suites\naddopts = -p metadata -p html -p xdist\n"
OTHERS = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS", "COLUMNS")
"""Environment variables that a session inside of a session must not inherit."""
SUBJECTS = (SubjectId("debian:stable"),)

CONFTEST = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import pytest
from helpers.errors import HarnessError
from helpers.recording.pytest_html import prepare_html
from helpers.recording.known_deviations import excuse_known
from helpers.identity import SubjectId
from helpers.recording.recorder import Recorder
from helpers.recording.repeat import leave_out
from msgspec import convert, to_builtins

pytest_plugins = ("helpers.recording.deselected", "helpers.recording.not_measured")
SUBJECTS = convert({subjects!r}, tuple[SubjectId, ...])
LABELS = {{each.label: each for each in SUBJECTS}}

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        reports = config.rootpath / "reports"
        prepare_html(config, reports)
        config.pluginmanager.register(Recorder(config, reports, SUBJECTS), "recorder")

def pytest_runtest_setup(item):
    params = getattr(item, "callspec", None)
    label = params.params.get("subject") if params else None
    subject = to_builtins(LABELS[label] if label else SUBJECTS[0])
    clauses = [{fine!r}] if "bad" not in item.name else ["LOCK-1"]
    clauses += ["LOCK-2"] if item.get_closest_marker("more") else []
    item.user_properties += [
        ("subject", subject), ("clauses", clauses), ("requirement", "Locked <b>after</b> the first run."),
        ("source", "hypercalls.rst"), ("dialect", {dialect!r}),
        ("environment", {{"kernel": "6.12.107", "registers": "3"}}),
        ("known", {known!r}),
    ]

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    if call.excinfo is not None and call.excinfo.errisinstance(HarnessError):
        item.user_properties.append(("harness_error", str(call.excinfo.value)))
    report = yield
    if call.excinfo is not None and call.excinfo.typename == "KernelComplained":
        report.user_properties = [*report.user_properties, ("kernel_complained", str(call.excinfo.value))]
    excuse_known(report, call)
    return report

@pytest.fixture
def note(request):
    return lambda text: request.node.user_properties.append(("note", text))

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if item.get_closest_marker("left_out"):
        leave_out(item, nextitem, "two of its cases ended the kernel")
        return True
"""
GOOD = """
import pytest
def test_good(): pass
def test_other(): pass
def test_na(): pytest.skip("not applicable, because PTP is missing")
"""
UNMEASURED = (
    "\nfrom helpers.errors import NotMeasured\ndef test_unmeasured(): raise NotMeasured('no write met the run')\n"
)
BAD = "def test_bad():\n    x0 = 1\n    assert x0 == 0, 'expected <0>'\n"
MODES = pytest.mark.parametrize("mode", [(), ("-q",), ("-n", "2"), ("-q", "-n", "2")], ids=" ".join)


def environment() -> dict[str, str]:
    """The environment of such a session, which loads only the plugins of INI: loading all takes four times as long."""
    kept = {name: value for name, value in os.environ.items() if name not in OTHERS}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def conftest_text(
    dialect: str = "mainline",
    subjects: tuple[SubjectId, ...] = SUBJECTS,
    known: tuple[dict[str, str], ...] = (),
    fine: str = "LOCK-1",
) -> str:
    """The text of conftest.py. Tests with "bad" in their names check LOCK-1, the others the clause ``fine``."""
    plain = to_builtins(subjects)
    return CONFTEST.format(root=str(ROOT), dialect=dialect, subjects=plain, known=list(known), fine=fine)


def run_suite(folder: Path, suite: str, *, more: str = "") -> Path:
    """Runs ``suite`` in a new project whose conftest.py ends with ``more``. Returns the path of the HTML report."""
    (folder / "suites").mkdir(parents=True)
    (folder / "pytest.ini").write_text(INI)
    (folder / "conftest.py").write_text(conftest_text() + more)
    (folder / "suites/test_a.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=folder, env=environment(), capture_output=True, check=False)
    return folder / REPORTS / "report.html"


class RecorderProject:
    """A project with suites/, tests/ and the recorder, whose subject is only a name."""

    def __init__(self, folder: Path, server: ForkServer) -> None:
        self.folder, self._server = folder, server
        self.reports = folder / REPORTS
        (folder / "pytest.ini").write_text(INI)
        self.conftest()

    def conftest(self, **values: Any) -> None:
        (self.folder / "conftest.py").write_text(conftest_text(**values))

    def file(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def session(self, *arguments: str) -> Ended:
        """Runs a session in a separate process with an environment that is independent of this session."""
        return self._server.run(self.folder, environment(), arguments)

    def run(self, *arguments: str, suite: str = "") -> tuple[int, str]:
        """Runs SUITE, or the existing files if it is empty. Returns the exit status and the terminal's last line."""
        if suite:
            self.file("suites/test_a.py", suite)
        ended = self.session("-p", "no:cacheprovider", *arguments)
        return ended.status, ended.lines[-1]
