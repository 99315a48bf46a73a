# SPDX-License-Identifier: GPL-2.0-only
"""Joins ``--kernel WHAT`` to ``--kernel=WHAT`` before pytest sees it; loaded by a .pth file of the venv.

pytest looks for its configuration before it knows a project's options, and takes the file after an unknown
one for a test path: ``pytest --kernel /elsewhere/Image`` would look for pytest.ini in /elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_WITH_PATH = ("--kernel", "--board", "--reports")


def joined(arguments: list[str]) -> list[str]:
    """The arguments with each option of ours and its value made one word."""
    out: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        value = next(rest, None) if argument in _WITH_PATH else None
        out.append(argument if value is None else f"{argument}={value}")
    return out


def _is_pytest() -> bool:
    return any(Path(word).name in ("pytest", "py.test") for word in sys.orig_argv[:4])


def main() -> int:
    """The program kvm-hvc-conformance: pytest on the installed suites, from any folder; reports come into that one."""
    import pytest

    own = [f"--rootdir={ROOT}", "-c", str(ROOT / "pytest.ini"), "-o", f"cache_dir={Path.cwd() / '.pytest_cache'}"]
    return int(pytest.main([*own, "--reports=reports", *joined(sys.argv[1:]), str(ROOT / "suites")]))


if _is_pytest():
    sys.argv[1:] = joined(sys.argv[1:])
