# SPDX-License-Identifier: GPL-2.0-only
"""The tests of suites/ as pytest collects them for one subject. ``python -m faults.collection`` prints them as JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from helpers import build
from helpers.errors import HarnessError

if TYPE_CHECKING:
    import pytest


class CollectedTest(NamedTuple):
    """The clauses of a test, and the name of its register, which may be UNKNOWN; empty if the test has no register."""

    clauses: tuple[str, ...]
    register: str


class _Tests:
    def __init__(self) -> None:
        self.tests: dict[str, tuple[list[str], str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from helpers.plugin.choices import case_parameters, clause_ids

        for item in session.items:
            register = case_parameters(item).get("register", "")
            self.tests[item.nodeid] = clause_ids(item), register if isinstance(register, str) else ""


def collected_tests() -> Mapping[str, CollectedTest]:
    """The tests by node id. Raises HarnessError if they cannot be collected."""
    # In a separate process: the caller may be running in pytest.
    command = [sys.executable, "-m", "faults.collection"]
    done = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise HarnessError("The tests of suites/ cannot be collected", why=why, cure="Run pytest --collect-only suites")
    return {test: CollectedTest(tuple(each[0]), each[1]) for test, each in json.loads(done.stdout).items()}


def _main() -> int:
    # Not at the top: the import takes long, and the commands that import this module do not need pytest.
    import pytest

    tests = _Tests()
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:html", "suites"]
    with contextlib.redirect_stdout(sys.stderr):
        status = pytest.main(words, plugins=[tests])
    print(json.dumps(tests.tests))
    return int(status)


if __name__ == "__main__":
    sys.exit(_main())
