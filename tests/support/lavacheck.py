# SPDX-License-Identifier: GPL-2.0-only
"""Fetches LAVA's own schemas and parser of signals from Debian's lava-common and lava-dispatcher packages.

They are fetched once (0.2 MB), so that the tests use the originals. Nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support import ROOT
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
# The dispatcher's connections to devices and servers; none of them is called here.
for name in ("pexpect", "pexpect.popen_spawn", "requests", "requests.exceptions", "requests.adapters"):
    sys.modules[name] = MagicMock()
from lava_dispatcher.actions.test.shell import handle_testcase
from lava_dispatcher.connection import SignalMatch
matches = []
for parameters in json.load(sys.stdin):
    matches.append(SignalMatch().match(handle_testcase(parameters.split())))
print(json.dumps(matches))
"""


def definition() -> dict[str, Any]:
    """The test definition of this repository."""
    text: dict[str, Any] = yaml.safe_load((ROOT / "lava/kvm-hvc.yaml").read_text())
    return text


def validated(definition: dict[str, Any], job: dict[str, Any]) -> str:
    """LAVA's error for a test definition or a job that holds it; empty if both are valid."""
    done = _python(_READ, {"definition": definition, "job": job})
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def matched(parameters: list[str]) -> list[dict[str, str]]:
    """The TESTCASE signals as LAVA's dispatcher parses them."""
    done = _python(_SIGNALS, parameters)
    assert done.returncode == 0, done.stderr
    matches: list[dict[str, str]] = json.loads(done.stdout)
    return matches


def _python(script: str, values: object) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(modules()), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, input=json.dumps(values), env=environment, capture_output=True, text=True, check=False
    )


def modules() -> Path:
    """The folder of lava_common and lava_dispatcher. Raises HarnessError if they cannot be fetched."""
    return unpacked("lava", SUITE, *PACKAGES) / "usr/lib/python3/dist-packages"
