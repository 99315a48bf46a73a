# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that writes what terminals, browsers and parsers obey: in each report it is text, and nothing more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.support import ROOT
from tests.support.pages import Page
from tests.support.reports import assert_harmless
from tests.support.sessions import GOOD, KERNEL, Project

HOSTILE = (
    b"\x1b]0;owned\x07\x1b[2J\x9b31m <script>alert(1)</script> ]]> </failure> # SKIP not a failure \x00\xff\xfe "
    b"\xe2\x80\xae\xed\xa0\x80 &amp; \\ \"'\n"
    b"KTAP version 1\n1..1\nok 1 fine # SKIP\nBail out!\nCONFORMANT debian:stable: 0 failed\n"
    b"reboot: System halted\r\n"
)
DIES = f"""
def test_dies(subject, kvm):
    program = Program()
    fd = program.open("/dev/ttyAMA0", os.O_WRONLY)
    program.write(fd, {HOSTILE!r})
    subject.run(program)
    sysrq(subject, b"c")
"""


def test_what_a_console_holds_is_text_everywhere(project: Project) -> None:
    status, text = project.run(KERNEL, suite=DIES)
    assert status == 1 and project.outcomes() == {**GOOD, "test_dies": "failed"}, text
    message = project.results()["test_dies"].message
    assert "<script>alert(1)</script> ]]> </failure> # SKIP not a failure" in message
    assert_harmless(message)
    assert_harmless(text)
    verdicts = [line for line in text.splitlines() if "CONFORMANT debian:stable" in line and ": 1 failed" in line]
    assert len(verdicts) == 1 and verdicts[0].startswith("NON-CONFORMANT"), text
    reports = project.folder / "reports"
    _check_junit(reports / "junit.xml")
    page = (reports / "report.html").read_text("utf-8")
    scripts = Page(page).scripts
    assert scripts and not any("alert(1)" in each for each in scripts)
    assert "&lt;script&gt;alert(1)" in page
    assert_harmless(page)
    _check_ktap(reports / "results.jsonl")


def _check_junit(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    failures = root.findall(".//failure")
    assert len(failures) == 1 and not root.findall(".//script") and not root.findall(".//skipped")
    assert "</failure> # SKIP" in (failures[0].text or "")


def _check_ktap(log: Path) -> None:
    command = [sys.executable, "-m", "helpers.command", "report", "--ktap-flat=-", str(log)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert_harmless(done.stdout)
    results = re.findall(r"^ *(ok|not ok) [0-9]+ .*::(\w+)(.*)$", done.stdout, re.MULTILINE)
    assert sorted(name for _, name, _ in results) == sorted([*GOOD, "test_dies"])
    assert [rest for word, _, rest in results if word == "not ok"] == [""]
    assert not re.search(r"^(?!#).*SKIP|^ *Bail", done.stdout, re.MULTILINE)
