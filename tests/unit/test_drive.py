# SPDX-License-Identifier: GPL-2.0-only
"""The model's sequences as programs, and as the C functions of their events."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from helpers.contract.model import operations as op
from helpers.contract.model.machine import predict
from helpers.contract.registers import MAINLINE
from helpers.executor.program import DEFAULT_DEADLINE_MS, Answer, Code, Op, OpResult
from helpers.executor.wire import encode
from helpers.kvm_program import GuestImage, KvmProgram, VcpuFeatures
from helpers.uapi import kvm as uapi
from suites.model.drive import DriveFacts, drive
from suites.model.shrink import Steps
from tests.support.model import EVERY, HOST, INIT, PSCI, STD, VCPU, VM, event, got, in_c

FACTS = DriveFacts(MAINLINE, HOST.registers, (STD.id,))


_SIZES = {Code.PEEK: 1, Code.READ: 1, Code.IOCTL_PEEK: 4}
"""The argument that is the number of bytes."""


def _size(operation: Op) -> int:
    if operation.code == Code.ONE_REG:
        return 8
    return operation.args[_SIZES[operation.code]].value if operation.code in _SIZES else 0


class SilentSubject:
    """A subject whose calls all return 0, with zeros in memory. The first programs expire."""

    def __init__(self, expired: int = 0) -> None:
        self.programs: list[KvmProgram] = []
        self._expired = expired

    def run(self, program: KvmProgram) -> Answer:
        self.programs.append(program)
        ran = len(self.programs) > self._expired
        ops = [each for stage in program.stages for thread in stage for _, each in thread.ops]
        return Answer(tuple((OpResult(0, 0, ran, bytes(_size(each) * ran)),) for each in ops), not ran)


def driven(subject: SilentSubject, *sequences: Steps) -> list[list[op.StepAnswer]]:
    kvm: Any = SimpleNamespace(fd=3, vm_type=0, image=GuestImage(b""), run_size=4096, subject=subject)
    return drive(kvm, FACTS, sequences, lambda: None)


def requests(program: KvmProgram) -> list[int]:
    """The ioctls in order."""
    ops = [each for stage in program.stages for thread in stage for _, each in thread.ops]
    return [each.args[1].value for each in ops if each.code in (Code.IOCTL, Code.IOCTL_AGAIN)]


def test_sequences_share_a_program() -> None:
    subject = SilentSubject()
    short, every = predict(HOST, [VM, VCPU, INIT, got(STD)]), predict(HOST, EVERY)
    answers = driven(subject, short, every, short)
    assert len(subject.programs) == 1 and answers[0] == answers[2] == [(0,), (0,), (0,), (0, 0)]
    assert [len(each) for each in answers[1]] == [len(step.wants) for step in every]
    created = requests(subject.programs[0]).count(uapi.KVM_CREATE_VM)
    closed = [
        each for stage in subject.programs[0].stages for t in stage for _, each in t.ops if each.code is Code.CLOSE
    ]
    assert created >= 6 and len(closed) >= created


def test_a_request_is_never_too_long() -> None:
    """Forty sequences with the events that make the most calls."""
    subject = SilentSubject()
    events = [event(name) for name in ("check_extension", "enable_cap_0", "enable_cap_1", "refused_bitmaps")]
    steps = predict(HOST, [VM, VCPU, INIT, *events, got(STD)])
    answers = driven(subject, *[steps] * 40)
    assert len(answers) == 40 and len({tuple(each) for each in answers}) == 1
    assert 1 < len(subject.programs) < 50
    assert max(len(encode(each)) for each in subject.programs) < 4 << 20


def test_sequences_of_a_program_without_an_answer_are_driven_alone() -> None:
    subject = SilentSubject(expired=1)
    short = predict(HOST, [VM, VCPU, INIT, got(STD)])
    assert driven(subject, short, short) == [[(0,), (0,), (0,), (0, 0)]] * 2
    assert [each.deadline_ms > DEFAULT_DEADLINE_MS for each in subject.programs if each.op_count > 1] == [
        False,
        True,
        True,
    ]


def test_what_follows_a_sequence_that_hangs_is_not_driven_again() -> None:
    subject = SilentSubject(expired=9)
    short = predict(HOST, [VM, VCPU])
    assert driven(subject, short, short, short) == [[(None,), (None,)]] * 3
    assert len([each for each in subject.programs if requests(each)]) == 2


def test_a_hang_has_no_answer() -> None:
    [answer] = driven(SilentSubject(expired=9), predict(HOST, [VM, VCPU, INIT, got(STD)]))
    assert answer == [(None,), (None,), (None,), (None, None)]


@pytest.mark.parametrize(("name", "initialisations"), [("irq_line", 2), ("init_again", 5), ("psci_system_reset", 4)])
def test_an_event_that_moves_a_guest_puts_every_guest_back(name: str, initialisations: int) -> None:
    """Each vCPU is initialised at first; init_again does it once itself."""
    subject = SilentSubject()
    second = [op.CreateVcpu(0, 3), op.Init(0, 3, PSCI)]
    driven(subject, predict(HOST, [VM, VCPU, INIT, *second, event(name, 3), op.Restart(0)]))
    [program] = subject.programs
    assert requests(program).count(uapi.KVM_ARM_VCPU_INIT) == initialisations
    features = [each.features for each in program.descriptions.values() if isinstance(each, VcpuFeatures)]
    assert set(features) == {PSCI}


def test_a_suspended_guest_has_an_interrupt_whatever_its_id() -> None:
    """Without one, CPU_SUSPEND does not return."""
    source = in_c(event("psci_cpu_suspend", 17), "event_1")
    lines = [line for line in source.splitlines() if f"{uapi.KVM_IRQ_LINE:#x}" in line]
    assert len(lines) == 2 * 9 and r"\x00\x00\x11\x00\x01\x00\x00\x00" in source
