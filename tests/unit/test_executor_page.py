# SPDX-License-Identifier: GPL-2.0-only
"""The program of docs/executor.md is sent as the bytes that the page shows."""

from __future__ import annotations

import re
from os import O_CLOEXEC, O_RDWR

from helpers.executor import wire
from helpers.executor.program import Program
from helpers.uapi.kvm import KVM_GET_API_VERSION
from tests.support import ROOT

PAGE = (ROOT / "docs/executor.md").read_text("utf-8")


def test_the_request_of_the_page() -> None:
    code = re.findall(r"^    (\w+ = [Pp]rogram.*)$", PAGE, re.MULTILINE)
    assert len(code) == 3
    names = {"Program": Program, "O_RDWR": O_RDWR, "O_CLOEXEC": O_CLOEXEC, "KVM_GET_API_VERSION": KVM_GET_API_VERSION}
    exec("\n".join(code), names)
    program = names["program"]
    assert isinstance(program, Program)
    shown = re.findall(r"^    ((?:[0-9a-f]{2} ){7}[0-9a-f]{2})    ", PAGE, re.MULTILINE)
    assert bytes.fromhex(" ".join(shown)) == wire.encode(program, serial=7)
