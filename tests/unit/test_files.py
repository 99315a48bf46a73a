# SPDX-License-Identifier: GPL-2.0-only
"""EMFILE of a call that creates a file descriptor is the machine's limit, not an answer of KVM."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg, Code, OpResult, Program
from helpers.kvm_program import KvmProgram
from helpers.subjects.files import require_files
from helpers.uapi import kvm as uapi

LIMITS = b"Max open files            256                  %s               files\n"
OK = OpResult(0, 0, True, b"")


def fails(code: int) -> OpResult:
    return OpResult(-1, code, True, b"")


def answered(program: Program, results: dict[int, tuple[OpResult, ...]]) -> Answer:
    return Answer(tuple(results.get(index, (OK,)) for index in range(program.op_count)), expired=False)


class Executor:
    """Answers the program that reads the limit, and keeps what it closes."""

    def __init__(self, hard: bytes = b"256") -> None:
        self.closed: list[int] = []
        self._hard = hard

    def run(self, program: Program) -> Answer:
        results: dict[int, tuple[OpResult, ...]] = {}
        for index, op in program.stages[0][0].ops:
            if op.code == Code.CLOSE and not op.args[0].type:
                self.closed.append(op.args[0].value)
            if op.code == Code.READ:
                results[index] = (OpResult(80, 0, True, LIMITS % self._hard if self._hard else b""),)
        return answered(program, results)


def create_vm(program: KvmProgram) -> Arg:
    return program.create_vm(3, 0)


def create_device(program: KvmProgram) -> Arg:
    return program.ioctl(4, uapi.KVM_CREATE_DEVICE, program.scratch(12))


CREATING: dict[str, Callable[[KvmProgram], Arg]] = {
    "open": lambda program: program.open("/dev/kvm", os.O_RDWR),
    "KVM_CREATE_VM": create_vm,
    "KVM_CREATE_VCPU": lambda program: program.create_vcpu(4, 0),
    "KVM_CREATE_DEVICE": create_device,
}


@pytest.mark.parametrize("create", CREATING.values(), ids=CREATING)
def test_the_limit_is_named_and_what_raises_it(create: Callable[[KvmProgram], Arg]) -> None:
    program, executor = KvmProgram(), Executor()
    refused = create(program)
    with pytest.raises(HarnessError) as caught:
        require_files(
            program, answered(program, {refused.index: (fails(errno.EMFILE),)}), executor.run, "local", "Raise {files}"
        )
    assert str(caught.value) == (
        "local ran out of file descriptors: a program of this test creates 1, and the hard limit of open files is 256."
        " Raise 512."
    )
    assert executor.closed == []


def test_a_limit_that_cannot_be_read() -> None:
    program = KvmProgram()
    answer = answered(program, {create_vm(program).index: (fails(errno.EMFILE),)})
    with pytest.raises(HarnessError, match="open files is unknown"):
        require_files(program, answer, Executor(b"").run, "local", "")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOMEM, errno.ENFILE])
def test_another_error_is_kvms(code: int) -> None:
    program, executor = KvmProgram(), Executor()
    answer = answered(program, {create_vm(program).index: (fails(code),)})
    require_files(program, answer, executor.run, "local", "")
    assert executor.closed == []


def test_emfile_of_a_call_that_creates_nothing_is_kvms() -> None:
    program, executor = KvmProgram(), Executor()
    refused = program.ioctl(5, uapi.KVM_SET_ONE_REG, program.scratch(16))
    require_files(program, answered(program, {refused.index: (fails(errno.EMFILE),)}), executor.run, "local", "")
    assert executor.closed == []


def test_what_the_program_left_open_is_closed() -> None:
    program, executor = KvmProgram(), Executor()
    kept, closed, refused = create_vm(program), create_vm(program), create_vm(program)
    program.close(closed)
    with program.concurrently() as stage, stage.thread(repeat=2):
        repeated = create_vm(program)
        program.close(repeated)
        leaked = create_vm(program)
    results: dict[int, tuple[OpResult, ...]] = {kept.index: (OK._replace(ret=7),), closed.index: (OK._replace(ret=8),)}
    results[refused.index] = (fails(errno.EMFILE),)
    results[repeated.index] = (OK._replace(ret=8), OK._replace(ret=10))
    results[repeated.index + 1] = (OK, OK)
    results[leaked.index] = (OK._replace(ret=9), fails(errno.EMFILE))
    with pytest.raises(HarnessError):
        require_files(program, answered(program, results), executor.run, "local", "")
    assert sorted(executor.closed) == [7, 9]


def test_what_a_forked_child_left_open_ended_with_it() -> None:
    program, executor = KvmProgram(), Executor()
    with program.forked():
        child = program.open("/dev/kvm", os.O_RDWR)
    refused = program.create_vm(3, 0)
    results: dict[int, tuple[OpResult, ...]] = {
        child.index: (OpResult(9, 0, True, b""),),
        refused.index: (fails(errno.EMFILE),),
    }
    with pytest.raises(HarnessError):
        require_files(program, answered(program, results), executor.run, "local", "")
    assert executor.closed == []
