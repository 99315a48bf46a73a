# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own reader of KTAP, tools/testing/kunit/kunit_parser.py, out of Debian's linux-source package.

It is fetched once (150 MB, of which 100 kB are kept in the cache) and not copied here, so that it is the real one.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.errors import HarnessError
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from helpers.subjects.choose import cache_directory

SUITE = "stable"
# kunit.py wants to lie in tools/testing/kunit.
_PLACE = "tools/testing/kunit"
_UNPACK = """
set -o pipefail
dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards "*.tar.xz" |
    tar -xJ -C "$2" --strip-components=1 --wildcards "*/$3/*.py"
"""


def parser_folder() -> Path:
    """Where kunit.py and kunit_parser.py lie. Raises HarnessError where they cannot be fetched."""
    home = cache_directory() / "kunit" / SUITE
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        # Workers of xdist wait for the one that fetches.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _fetch(home)
    return home / _PLACE


def parsed(report: Path) -> tuple[int, dict[str, int], list[str]]:
    """What ``kunit.py parse`` makes of a report: its status, its counts, the names of what is not ok."""
    command = [sys.executable, "-B", str(parser_folder() / "kunit.py"), "parse", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    summary = re.search(r"Ran (\d+) tests:?(.*)", done.stdout)
    assert summary, done.stdout + done.stderr
    counts = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", summary.group(2))}
    bad = re.findall(r"\[(?:FAILED|CRASHED|ERROR)\] (.*)", done.stdout)
    return done.returncode, counts, bad


def _fetch(home: Path) -> None:
    check_tools()
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="tmp-") as name:
        work = Path(name)
        apt = Apt(work / "apt", SUITE, choose_mirror(None))
        apt.prepare()
        apt.update()
        package = re.findall(r"linux-source-[^\s,]+", apt.show("linux-source").get("Depends", ""))
        if not package:
            raise HarnessError(f"Debian {SUITE} has no linux-source", cure="Try again, or name another mirror")
        (work / "deb").mkdir()
        (deb,) = apt.download({package[0]: apt.show(package[0])["Version"]}, work / "deb")
        new = work / "new"
        new.mkdir()
        done = subprocess.run(["bash", "-c", _UNPACK, "bash", deb, new, _PLACE], capture_output=True, check=False)
        if done.returncode or not (new / _PLACE / "kunit_parser.py").exists():
            why = done.stderr.decode(errors="replace").strip()[-300:]
            raise HarnessError(f"kunit_parser.py cannot be unpacked from {deb.name}", why=why, cure="Try again")
        shutil.move(new, home)
