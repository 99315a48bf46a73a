# SPDX-License-Identifier: GPL-2.0-only
"""Every constant and structure of helpers/uapi has the value of the newest kernel's headers."""

from __future__ import annotations

from pathlib import Path

from tests.support.debian import unpacked
from tests.support.headers import expressions, header_values, ours


def test_newest_headers_agree(tmp_path: Path) -> None:
    usr = unpacked("headers", "sid", "linux-libc-dev") / "usr"
    include = (usr / "include", usr / "include/aarch64-linux-gnu")
    assert header_values(tmp_path, expressions(), *include) == ours()
