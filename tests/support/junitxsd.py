# SPDX-License-Identifier: GPL-2.0-only
"""The JUnit schema of Jenkins' xUnit plugin, junit-10.xsd, out of pytest's own source distribution.

pip fetches it once, of the release that is pinned here, and it is not copied, so that it is the real one.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
import xmlschema

from helpers.errors import HarnessError
from helpers.subjects.choose import cache_directory

_PLACE = f"pytest-{pytest.__version__}/testing/example_scripts/junit-10.xsd"


def schema() -> xmlschema.XMLSchema:
    """The schema. Raises HarnessError where it cannot be fetched."""
    home = cache_directory() / "junit"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"junit-10-of-pytest-{pytest.__version__}.xsd"
    with (home / "lock").open("w") as lock:
        # Workers of xdist wait for the one that fetches.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _fetch(path)
    return xmlschema.XMLSchema(str(path))


def _fetch(path: Path) -> None:
    wanted = f"pytest=={pytest.__version__}"
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="tmp-") as name:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "-d", name, wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = list(Path(name).glob("*.tar.gz"))
        if done.returncode or not archives:
            why = done.stderr.strip()[-300:]
            raise HarnessError(f"The source of {wanted} cannot be fetched", why=why, cure="Try again")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(_PLACE)
            if member is None:
                raise HarnessError(f"The source of {wanted} has no {_PLACE}")
            new = Path(name) / "new"
            new.write_bytes(member.read())
        new.rename(path)
