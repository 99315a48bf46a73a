# SPDX-License-Identifier: GPL-2.0-only
"""The limits in SECURITY.md are those of the code."""

from __future__ import annotations

import inspect

import pytest

from helpers.executor import wire
from helpers.subjects import console, decompression, kernel_log, qemu, remote
from tests.support import ROOT

PAGE = " ".join((ROOT / "SECURITY.md").read_text("utf-8").split())
READS = kernel_log._BATCH * kernel_log._MOST_BATCHES


@pytest.mark.parametrize(
    "limit",
    [
        f"{qemu.PROCESSORS} processors and {qemu.MEMORY_MB >> 10} GiB of memory",
        f"The console stops at {qemu._CONSOLE_LIMIT >> 20} MiB",
        f"deaths have cost {'ten' if remote.MOST_LOST_SECONDS == 600 else '?'} minutes",
        f"at most {wire.MAX_FRAME >> 20} MiB; lengths, counts",
        f"at most {console._BYTES >> 10} KiB and {console._FIRST + console._LAST} lines of {console._WIDTH} characters",
        f"at most {READS:,} records after a test; {kernel_log._RECORD >> 10} KiB each",
        f"at most {decompression.LARGEST >> 20} MiB unpacked",
    ],
)
def test_limits(limit: str) -> None:
    assert limit in PAGE


def test_what_qemu_is_started_with() -> None:
    source = inspect.getsource(qemu)
    for words in ('"-nic", "none"', '"-display", "none"', '"-nodefaults"', "spawn=deny", "--pdeathsig"):
        assert words in source, words
