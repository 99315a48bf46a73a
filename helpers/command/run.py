# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance run``: runs pytest on this suite from any folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.command.kvm_hvc_arguments import joined
from helpers.command.parser import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "suites"
_ABOUT = """every argument is passed to pytest.

The suite's own options are at the end of pytest's help, under "the kernel under test" and "the verdict".
docs/kernels.md and docs/verdicts.md describe them.

exit status:
  0  CONFORMANT, or a selection of tests passed
  1  NON-CONFORMANT
  3  INCONCLUSIVE
  4  wrong usage
  5  NOT-IMPLEMENTED: the kernel has no bitmap registers
  6  NEWER-THAN-SUITE"""


def main(arguments: Sequence[str]) -> int:
    """Run pytest. Returns its exit status, which is the verdict's."""
    if {"-h", "--help"} & set(arguments):
        print(f"{PROGRAM} run: {_ABOUT}\n", flush=True)
    return int(pytest.main(pytest_arguments(arguments, Path.cwd())))


def pytest_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """pytest's command line for the working directory ``folder``.

    Outside of the suite's own folder, reports and pytest's cache are written to ``folder``, and the complete suite runs
    unless an argument is a path in ``suites``. The node ids of a report can be used in every folder.
    """
    words = [f"--rootdir={ROOT}", "-c", str(ROOT / "pytest.ini")]
    if not folder.is_relative_to(ROOT):
        words += ["--reports=reports", "-o", f"cache_dir={folder / '.pytest_cache'}"]
    words += (_test_path(word, folder) for word in joined(arguments))
    if folder != ROOT and not any((folder / word).resolve().is_relative_to(SUITES) for word in (".", *words[3:])):
        words.append(str(SUITES))
    return words


def _test_path(word: str, folder: Path) -> str:
    """A word of the command line; a path in ``suites`` that is not in ``folder`` becomes absolute."""
    path = word.partition("::")[0]
    is_node_id = path.split("/")[0] == SUITES.name and not (folder / path).exists() and (ROOT / path).exists()
    return str(ROOT / word) if is_node_id else word
