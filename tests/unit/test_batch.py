# SPDX-License-Identifier: GPL-2.0-only
"""A program that is cut off: a call that blocked is a failure of the kernel, many slow calls are not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from helpers import build
from helpers.batch import Batch, KvmError
from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import DEADLINE_MS_PER_OPERATION, DEFAULT_DEADLINE_MS, Answer, OpResult, Program


class Here:
    """A subject in this process, with a deadline of 100 ms."""

    label = "no KVM"

    def __init__(self) -> None:
        build.build_all()
        self._native = Native(build.NATIVE)

    def run(self, program: Program) -> Answer:
        return wire.decode(program, self._native.run(wire.encode(program, deadline_ms=100)))


@pytest.fixture
def silent_pipe() -> Iterator[int]:
    read, write = os.pipe()
    yield read
    os.close(read)
    os.close(write)


def test_a_call_that_blocks(silent_pipe: int) -> None:
    batch = Batch(Here())  # type: ignore[arg-type]
    batch.program.read(silent_pipe, 1)
    batch.ioctl("the next call", -1, 0)
    with pytest.raises(KvmError, match="the next call was not reached before the deadline"):
        batch.run()


def test_a_call_that_blocks_in_a_child(silent_pipe: int) -> None:
    batch = Batch(Here())  # type: ignore[arg-type]
    batch.ioctl("the first call", -1, 0)
    with batch.program.forked():
        batch.pending("the read", batch.program.read(silent_pipe, 1))
        batch.ioctl("the next call", -1, 0)
    with pytest.raises(KvmError, match="the read did not return before the deadline"):
        batch.run()


def test_calls_that_are_slow_together() -> None:
    ran, left = (OpResult(0, 0, True, b""),), (OpResult(-1, 0, False, b""),)
    batch = Batch(Here())  # type: ignore[arg-type]
    batch.ioctl("the first call", -1, 0)
    pending = batch.ioctl("the next call", -1, 0)
    with pytest.raises(HarnessError, match=r"the next call was not reached.*together they took longer"):
        pending.settle(Answer((ran, left), expired=True))
    blocked = (OpResult(-1, errno.EINTR, True, b""),)
    with pytest.raises(KvmError):
        pending.settle(Answer((blocked, left), expired=True))


def test_the_deadline_grows_with_the_program() -> None:
    program = Program()
    assert program.deadline_ms == DEFAULT_DEADLINE_MS
    for _ in range(3):
        program.close(-1)
    assert program.deadline_ms == DEFAULT_DEADLINE_MS + 3 * DEADLINE_MS_PER_OPERATION
    chosen = Program(deadline_ms=5)
    chosen.close(-1)
    assert chosen.deadline_ms == 5
    chosen.deadline_ms = 6
    assert chosen.deadline_ms == 6
