# SPDX-License-Identifier: GPL-2.0-only
"""Answers of a hostile executor are bounded and have no control characters."""

from __future__ import annotations

import struct

import pytest

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.program import Program
from tests.support.reports import assert_harmless


def test_a_reason_of_the_executor_is_bounded_and_harmless() -> None:
    text = b"\x1b[2J" + b"\xff" * (1 << 20)
    body = struct.pack("<IHHIII", wire.MAGIC, wire.VERSION, 1, 0, 0, len(text)) + text
    with pytest.raises(HarnessError, match="refused a program") as caught:
        wire.decode(Program(), body)
    assert_harmless(str(caught.value))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("length", [1 << 20, (1 << 32) - 1])
def test_a_result_longer_than_its_answer(length: int) -> None:
    program = Program()
    program.close(0)
    head = struct.pack("<IHHIII", wire.MAGIC, wire.VERSION, 0, 0, 0, 1)
    kinds = b"\xff".ljust(8, b"\0")
    with pytest.raises(HarnessError, match="ends at byte 52 before its contents do"):
        wire.decode(program, head + kinds + struct.pack("<qIIII", 0, 0, 1, length, 0))
