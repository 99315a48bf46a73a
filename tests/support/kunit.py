# SPDX-License-Identifier: GPL-2.0-only
"""Fetches the kernel's own parser of KTAP, tools/testing/kunit/kunit_parser.py, from Debian's linux-source package.

It is fetched once (150 MB, of which 100 kB are cached). This repository has no copy, so the tests use the original.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from helpers.errors import HarnessError
from helpers.subjects.choose import cache_directory
from tests.support.debian import fetched_once, updated_apt

SUITE = "stable"
# kunit.py works only in tools/testing/kunit.
_PLACE = "tools/testing/kunit"
_UNPACK = """
set -o pipefail
dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards "*.tar.xz" |
    tar -xJ -C "$2" --strip-components=1 --wildcards "*/$3/*.py"
"""


def parsed(report: Path) -> tuple[int, dict[str, int], list[str]]:
    """The result of ``kunit.py parse`` for a report: its status, its counts, and the names of tests that are not ok."""
    folder = fetched_once(cache_directory() / "kunit" / SUITE, _fetch) / _PLACE
    command = [sys.executable, "-B", str(folder / "kunit.py"), "parse", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    summary = re.search(r"Ran (\d+) tests:?(.*)", done.stdout)
    assert summary, done.stdout + done.stderr
    counts = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", summary.group(2))}
    bad = re.findall(r"\[(?:FAILED|CRASHED|ERROR)\] (.*)", done.stdout)
    return done.returncode, counts, bad


def _fetch(work: Path) -> Path:
    apt = updated_apt(work / "apt", SUITE)
    package = re.findall(r"linux-source-[^\s,]+", apt.show("linux-source").get("Depends", ""))
    if not package:
        raise HarnessError(f"Debian {SUITE} has no linux-source", cure="Try again, or name another mirror")
    for folder in (work / "deb", work / "new"):
        folder.mkdir()
    (deb,) = apt.download({package[0]: apt.show(package[0])["Version"]}, work / "deb")
    done = subprocess.run(["bash", "-c", _UNPACK, "bash", deb, work / "new", _PLACE], capture_output=True, check=False)
    if done.returncode or not (work / "new" / _PLACE / "kunit_parser.py").exists():
        why = done.stderr.decode(errors="replace").strip()[-300:]
        raise HarnessError(f"kunit_parser.py cannot be unpacked from {deb.name}", why=why, cure="Try again")
    return work / "new"
