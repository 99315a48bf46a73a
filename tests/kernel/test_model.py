# SPDX-License-Identifier: GPL-2.0-only
"""The reproducer, as the first process of a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.contract.model.machine import predict
from helpers.executor.program import Program
from helpers.identity import SubjectId
from helpers.progress import Progress
from helpers.subjects import choose
from helpers.subjects.base import KernelDied
from tests.support.model import EVERY, HOST, INIT, NOW, STD, VCPU, VM, compiled, put

EXECVE = 221
"""arm64's execve(2)."""


def _ended(subject_id: SubjectId, program: Path) -> KernelDied:
    """Runs the program as the first process. The kernel ends with it and prints its exit status."""
    subject = choose.make_subject(subject_id, choose.Means(None, Progress()))
    try:
        put_there = Program()
        file = put_there.open("/reproducer", 0o1 | 0o100, 0o755)
        written = put_there.write(file, program.read_bytes())
        put_there.close(file)
        assert subject.run(put_there)[written].ret == program.stat().st_size
        replaced = Program()
        path, arguments = replaced.scratch_bytes(b"/reproducer\0"), replaced.scratch(16)
        replaced.poke_address(arguments, path)
        replaced.syscall(EXECVE, path, arguments, 0)
        with pytest.raises(KernelDied) as died:
            subject.run(replaced)
        return died.value
    finally:
        subject.close()


@pytest.mark.parametrize("fault", ["", "ipa-36-bits"])
def test_the_program_on_a_kernel_that_keeps_the_contract(fault: str, tmp_path: Path) -> None:
    died = _ended(SubjectId("debian:stable", fault=fault), compiled(tmp_path, predict(HOST, EVERY)))
    assert "exitcode=0x00000000" in died.how, died.last_words
    assert "Every answer was the expected one." in died.last_words


def test_the_program_shows_the_fault(tmp_path: Path) -> None:
    steps = predict(HOST, [VM, VCPU, INIT, NOW, put(STD, 0)])
    died = _ended(SubjectId("debian:stable", fault="lock-missing"), compiled(tmp_path, steps))
    assert "exitcode=0x00000100" in died.how, died.last_words
    assert "KVM_SET_ONE_REG: expected EBUSY, actual success  <-- different" in died.last_words
