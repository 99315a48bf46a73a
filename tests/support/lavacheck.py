# SPDX-License-Identifier: GPL-2.0-only
"""LAVA's own schemas and its own reader of signals, out of Debian's lava-common and lava-dispatcher packages.

They are fetched once (0.2 MB) and not copied here, so that they are the real ones; nothing is installed.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from helpers.errors import HarnessError
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from helpers.subjects.choose import cache_directory

SUITE = "sid"
"""Debian's stable releases do not always have LAVA."""
PACKAGES = ("lava-common", "lava-dispatcher")
_READ = """
import json, sys
wanted = json.load(sys.stdin)
from lava_common.schemas import validate
from lava_common.schemas.test.testdef import validate as validate_definition
validate_definition(wanted["definition"])
validate(wanted["job"])
"""
_SIGNALS = """
import json, sys
from unittest.mock import MagicMock
# What the dispatcher speaks to devices and servers with; nothing of it is called here.
for name in ("pexpect", "pexpect.popen_spawn", "requests", "requests.exceptions", "requests.adapters"):
    sys.modules[name] = MagicMock()
from lava_dispatcher.actions.test.shell import handle_testcase
from lava_dispatcher.connection import SignalMatch
found = []
for parameters in json.load(sys.stdin):
    found.append(SignalMatch().match(handle_testcase(parameters.split())))
print(json.dumps(found))
"""


def validated(definition: dict[str, Any], job: dict[str, Any]) -> str:
    """What LAVA has against a test definition or a job that holds it; nothing if it takes both."""
    done = _python(_READ, {"definition": definition, "job": job})
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def matched(parameters: list[str]) -> list[dict[str, str]]:
    """What LAVA's dispatcher understands of TESTCASE signals."""
    done = _python(_SIGNALS, parameters)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def _python(script: str, values: object) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(modules()), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, input=json.dumps(values), env=environment, capture_output=True, text=True, check=False
    )


def modules() -> Path:
    """Where lava_common and lava_dispatcher lie. Raises HarnessError where they cannot be fetched."""
    home = cache_directory() / "lava" / SUITE
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        # Workers of xdist wait for the one that fetches.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            _fetch(home)
    return home / "usr/lib/python3/dist-packages"


def _fetch(home: Path) -> None:
    check_tools()
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="tmp-") as name:
        work = Path(name)
        apt = Apt(work / "apt", SUITE, choose_mirror(None))
        apt.prepare()
        apt.update()
        versions = {package: apt.show(package).get("Version", "") for package in PACKAGES}
        if not all(versions.values()):
            what = f"Debian {SUITE} has no {' or '.join(PACKAGES)}"
            raise HarnessError(what, cure="Try again, or name another mirror")
        (work / "deb").mkdir()
        for package in apt.download(versions, work / "deb"):
            subprocess.run(["dpkg-deb", "-x", package, work / "new"], check=True)
        (work / "new").rename(home)
