# SPDX-License-Identifier: GPL-2.0-only
"""Files of Debian's packages, fetched once into the cache and not copied here, so that they are the real ones."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from pathlib import Path

from helpers.errors import HarnessError
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from helpers.subjects.choose import cache_directory


def unpacked(name: str, suite: str, *packages: str) -> Path:
    """The folder into which PACKAGES of a suite are unpacked. Raises HarnessError if they cannot be fetched."""
    home = cache_directory() / name / suite
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        # Workers of xdist wait for the one that fetches.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _fetch(home, suite, packages)
    return home


def _fetch(home: Path, suite: str, packages: tuple[str, ...]) -> None:
    check_tools()
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="tmp-") as name:
        work = Path(name)
        apt = Apt(work / "apt", suite, choose_mirror(None))
        apt.prepare()
        apt.update()
        versions = {package: apt.show(package).get("Version", "") for package in packages}
        if not all(versions.values()):
            what = f"Debian {suite} has no {' or '.join(packages)}"
            raise HarnessError(what, cure="Try again, or name another mirror")
        (work / "deb").mkdir()
        for package in apt.download(versions, work / "deb"):
            subprocess.run(["dpkg-deb", "-x", package, work / "new"], check=True)
        (work / "new").rename(home)
