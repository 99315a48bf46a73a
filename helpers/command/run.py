# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance run``: pytest on this suite, called from any folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.command.kvm_hvc_arguments import joined
from helpers.command.parser import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "suites"


def main(arguments: Sequence[str]) -> int:
    """Returns pytest's exit status, which is the verdict's."""
    if {"-h", "--help"} & set(arguments):
        print(f"{PROGRAM} run: every argument goes to pytest, whose help follows.\n", flush=True)
    return int(pytest.main(pytest_arguments(arguments, Path.cwd())))


def pytest_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """The command line for pytest when it is called in ``folder``.

    Outside of the suite's own folder, reports and pytest's cache go to ``folder``, and the whole suite is run unless
    an argument is a path in ``suites``.
    """
    out = [f"--rootdir={ROOT}", "-c", str(ROOT / "pytest.ini")]
    if not folder.is_relative_to(ROOT):
        out += ["--reports=reports", "-o", f"cache_dir={folder / '.pytest_cache'}"]
    out += joined(arguments)
    if folder != ROOT and not any((folder / word).resolve().is_relative_to(SUITES) for word in (".", *arguments)):
        out.append(str(SUITES))
    return out
