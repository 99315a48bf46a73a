# SPDX-License-Identifier: GPL-2.0-only
"""A running session that a person ends: Ctrl-C, once or twice, kill, a closed terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from helpers.results.verdict import VerdictKind, verdicts
from tests.support.sessions import KERNEL, MANY, Project, strays, wait_for, wait_for_results

WITHIN = 15.0
"""Seconds from the signal to the end. On an idle machine it is below 2 (``make bench``); beside other tests the
question is whether it waits for anything: a test's deadline, a boot's and ssh's are 20 or more."""
INTERRUPTS = {
    "Ctrl-C": [signal.SIGINT],
    "Ctrl-C twice": [signal.SIGINT, signal.SIGINT],
    "Ctrl-C many times": [signal.SIGINT] * 8,
    "kill": [signal.SIGTERM],
    "hang-up": [signal.SIGHUP],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    (tmp_path / "tmp").mkdir()
    # Every file of a VM is in this folder, so that the test finds those of its own session.
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    session = Project(tmp_path)
    session.suite(MANY)
    yield session
    assert not strays(tmp_path), "QEMU stayed"
    assert not list((tmp_path / "tmp").glob("kvm-hvc-*"))


def ended(process: subprocess.Popen[str], signals: Sequence[int]) -> tuple[float, str]:
    """Seconds from the first signal to the end, and what was printed."""
    began = time.monotonic()
    for number in signals:
        # To all of the session, as a terminal does it.
        os.killpg(process.pid, number)
        time.sleep(0.1)
    out, err = process.communicate(timeout=60)
    return time.monotonic() - began, err + out


@pytest.mark.parametrize(
    ("how", "mode"), [*((how, ()) for how in INTERRUPTS), ("Ctrl-C twice", ("-n", "2")), ("kill", ("-n", "2"))]
)
def test_a_session_is_ended(how: str, mode: tuple[str, ...], project: Project) -> None:
    process = project.start(KERNEL, *mode)
    wait_for_results(project)
    seconds, text = ended(process, INTERRUPTS[how])
    assert process.returncode == 3, text
    assert "Traceback" not in text and "INTERNALERROR" not in text, text
    assert seconds < WITHIN
    (verdict,) = verdicts(project.log)
    assert verdict.kind is VerdictKind.INCONCLUSIVE and "the run was interrupted" in verdict.line
    reports = {path.name for path in (project.folder / "reports").iterdir()}
    assert reports >= {"results.jsonl", "report.html", "junit.xml"}
    if how != "hang-up":
        assert text.rstrip().splitlines()[-1].startswith("INCONCLUSIVE debian:stable")


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize("hook", ["pytest_sessionstart", "pytest_collection"])
def test_before_the_first_test(hook: str, mode: tuple[str, ...], project: Project) -> None:
    interrupts = (
        f"import os, pytest, signal\n@pytest.hookimpl(tryfirst=True)\ndef {hook}(session):\n"
        "    if not hasattr(session.config, 'workerinput'):\n        os.killpg(0, signal.SIGINT)\n"
    )
    (project.folder / "interrupts.py").write_text(interrupts)
    status, text = project.run(KERNEL, "-p", "interrupts", *mode)
    assert status == 3, text
    assert "INCONCLUSIVE" in text and "interrupted" in text


def test_while_a_worker_imports(project: Project) -> None:
    # Python prints a traceback for an interrupt in __del__, whatever the worker does with KeyboardInterrupt.
    (project.folder / "interrupts.py").write_text(
        "import os, signal\nclass Object:\n    def __del__(self):\n        os.killpg(0, signal.SIGINT)\n"
        "if 'PYTEST_XDIST_WORKER' in os.environ:\n    Object()\n"
    )
    status, text = project.run(KERNEL, "-p", "interrupts", "-n", "2")
    assert status == 3, text
    assert "INCONCLUSIVE" in text and "interrupted" in text


def test_while_it_boots(project: Project) -> None:
    process = project.start(KERNEL)
    wait_for(lambda: bool(strays(project.folder)), 30)
    seconds, text = ended(process, [signal.SIGINT])
    assert process.returncode == 3 and "Traceback" not in text, text
    assert seconds < WITHIN


@pytest.mark.parametrize("mode", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_while_it_ends(mode: tuple[str, ...], project: Project) -> None:
    (project.folder / "slow_end.py").write_text(
        "import time\ndef pytest_sessionfinish(session):\n    print('ending', flush=True)\n    time.sleep(2)\n"
    )
    project.suite("")
    process = project.start(KERNEL, "-p", "slow_end", "-s", "-k", "test_before", *mode)
    assert process.stdout
    while "ending" not in process.stdout.readline():
        assert process.poll() is None
    _, text = ended(process, [signal.SIGINT, signal.SIGINT])
    assert process.returncode == 0 and "Traceback" not in text, text
    assert text.rstrip().splitlines()[-1].startswith("SELECTION PASSED")


def test_killed_outright(project: Project) -> None:
    process = project.start(KERNEL)
    wait_for_results(project)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not strays(project.folder), 2)
    (verdict,) = verdicts(project.log)
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    for left in (project.folder / "tmp").glob("kvm-hvc-*"):
        # Nobody was left to remove it.
        subprocess.run(["rm", "-r", str(left)], check=True)


def test_the_terminal_is_closed(project: Project) -> None:
    ours, theirs = pty.openpty()
    process = project.start(KERNEL, terminal=theirs)
    os.close(theirs)
    wait_for_results(project)
    began = time.monotonic()
    os.close(ours)
    assert process.wait(60) == 3
    assert time.monotonic() - began < WITHIN
    assert "INCONCLUSIVE" in re.sub(r"<[^>]*>", "", (project.folder / "reports/report.html").read_text())
