# SPDX-License-Identifier: GPL-2.0-only
"""Fetches the JUnit schema of Jenkins' xUnit plugin, junit-10.xsd, from pytest's source distribution.

pip fetches it once, from the pinned release of pytest. This repository has no copy, so that the tests use the original.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import xmlschema

from helpers.errors import HarnessError
from helpers.subjects.choose import cache_directory
from tests.support.debian import fetched_once

_PLACE = f"pytest-{pytest.__version__}/testing/example_scripts/junit-10.xsd"


def schema() -> xmlschema.XMLSchema:
    """The schema. Raises HarnessError if it cannot be fetched."""
    path = cache_directory() / "junit" / f"junit-10-of-pytest-{pytest.__version__}.xsd"
    return xmlschema.XMLSchema(str(fetched_once(path, _fetch)))


def _fetch(work: Path) -> Path:
    wanted = f"pytest=={pytest.__version__}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "-d", str(work), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(work.glob("*.tar.gz"))
    if done.returncode or not archives:
        why = done.stderr.strip()[-300:]
        raise HarnessError(f"The source of {wanted} cannot be fetched", why=why, cure="Try again")
    with tarfile.open(archives[0]) as archive:
        member = archive.extractfile(_PLACE)
        if member is None:
            raise HarnessError(f"The source of {wanted} has no {_PLACE}")
        (work / "new").write_bytes(member.read())
    return work / "new"
