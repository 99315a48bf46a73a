# SPDX-License-Identifier: GPL-2.0-only
"""LAVA's own schemas and its own reader of signals, out of Debian's lava-common and lava-dispatcher packages.

They are fetched once (0.2 MB) and not copied here, so that they are the real ones; nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.debian import unpacked

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
    return unpacked("lava", SUITE, *PACKAGES) / "usr/lib/python3/dist-packages"
