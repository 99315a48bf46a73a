# SPDX-License-Identifier: GPL-2.0-only
"""The trace of a failed test: its size, and its text for every kind of answer."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

import pytest

from helpers import guests
from helpers.batch import Batch
from helpers.contract.registers import MAINLINE, RFC_V3
from helpers.executor.program import Answer, Code, Op, OpResult, Program
from helpers.guest_layout import CALL_RESULT, MAILBOX, MAILBOX_HEAD, MEMORY_IPA
from helpers.identity import SubjectId
from helpers.kvm import Kvm, Vcpu
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call, Conduit
from helpers.trace.listing import MOST_LINES, listing
from helpers.trace.names import IOCTLS
from helpers.trace.recorder import MOST_PROGRAMS, Trace, Traced
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId

Answering = Callable[[Op], OpResult]
KVM_FD, VM_FD, VCPU_FD = 3, 11, 12
RUN_ADDRESS = 0xFFFF80000000
STD, VENDOR = MAINLINE.registers[0], MAINLINE.registers[2]


class Scripted:
    """A subject that answers each operation by a function, to test the text of the listing."""

    id, generation, alive = SubjectId("scripted"), 1, True

    def __init__(self, answering: Answering) -> None:
        self.answering = answering

    def run(self, program: Program) -> Answer:
        results: list[tuple[OpResult, ...]] = [()] * program.op_count
        for thread in (thread for stage in program.stages for thread in stage):
            for index, op in thread.ops:
                results[index] = (self.answering(op),) * thread.repeat
        return Answer(tuple(results), False)

    def start(self) -> None:
        """Already started."""


scripted: Any = Scripted


def answering(refused: int = 0) -> Answering:
    """KVM's fds and the guest's answers; ``refused`` is the errno of every KVM_SET_ONE_REG."""
    fds = {uapi.KVM_CREATE_VM: VM_FD, uapi.KVM_CREATE_VCPU: VCPU_FD, uapi.KVM_GET_API_VERSION: 12}
    memory: dict[int, bytes] = {}

    def answer(op: Op) -> OpResult:
        request = op.args[1].value if op.code in (Code.IOCTL, Code.ONE_REG) else 0
        if op.code == Code.POKE:
            memory[op.args[0].value] = op.data
        if op.code == Code.PEEK:
            return OpResult(0, 0, True, _memory(memory, op.args[0].value, op.args[1].value))
        if request == uapi.KVM_SET_ONE_REG and refused:
            return OpResult(-1, refused, True, b"")
        if request == uapi.KVM_GET_ONE_REG:
            return OpResult(0, 0, True, bytes(8))
        if op.code in (Code.OPEN, Code.MMAP):
            return OpResult(KVM_FD if op.code == Code.OPEN else RUN_ADDRESS, 0, True, b"")
        return OpResult(fds.get(request, 0), 0, True, b"")

    return answer


def _memory(memory: dict[int, bytes], address: int, size: int) -> bytes:
    if size == uapi.ffi.sizeof("struct kvm_run_mmio"):
        return uapi.pack("kvm_run_mmio", exit_reason=uapi.KVM_EXIT_MMIO, data=b"\1")
    data = bytearray(memory.get(address, bytes(size))[:size].ljust(size, b"\0"))
    if address & 0xFFFF == MAILBOX:
        struct.pack_into("<4Q", data, MAILBOX_HEAD + CALL_RESULT, 0x10001, 0, 0, 7)
    return bytes(data)


@pytest.fixture
def trace() -> Trace:
    return Trace()


def opened(trace: Trace, script: Answering | None = None) -> Vcpu:
    kvm = Kvm(Traced(scripted(script or answering()), trace), b"")
    return kvm.create_vm().vcpu


def test_a_forked_child_keeps_its_own_fds(trace: Trace) -> None:
    vcpu, program = opened(trace), Program()
    with program.forked():
        program.close(vcpu.fd)
    program.ioctl(vcpu.fd, uapi.KVM_GET_MP_STATE)
    vcpu.vm.kvm.subject.run(program)
    assert listing(trace).splitlines()[-4:] == [
        "in a forked child:",
        "close(vm2.vcpu0) = 0",
        "in the parent again:",
        "vm2.vcpu0: KVM_GET_MP_STATE(pointer 0x0) = 0",
    ]


def test_a_vm_and_a_refused_write(trace: Trace) -> None:
    vcpu = opened(trace)
    vcpu.vm.kvm.subject = Traced(scripted(answering(errno.EBUSY)), trace)
    assert vcpu.try_set_reg(VENDOR, 2) == errno.EBUSY
    assert listing(trace).splitlines() == [
        "open('/dev/kvm', 0o2000002) = fd 3",
        "/dev/kvm: KVM_GET_API_VERSION() = 12",
        "/dev/kvm: KVM_GET_VCPU_MMAP_SIZE() = 0",
        "/dev/kvm: KVM_CHECK_EXTENSION(165 KVM_CAP_ARM_VM_IPA_SIZE) = 0",
        "/dev/kvm: KVM_CREATE_VM() = fd 11 (vm1)",
        f"mmap(memory, 0x10000 bytes) = {RUN_ADDRESS:#x}",
        "/dev/kvm: KVM_CREATE_VM() = fd 11 (vm2)",
        f"vm2: KVM_SET_USER_MEMORY_REGION(slot 0, IPA {MEMORY_IPA:#x}, 0x10000 bytes) = 0",
        "vm2: KVM_CREATE_VCPU(0) = fd 12 (vm2.vcpu0)",
        "vm2: KVM_ARM_PREFERRED_TARGET() = 0",
        "vm2.vcpu0: KVM_ARM_VCPU_INIT(features 2) = 0",
        f"vm2.vcpu0: KVM_SET_ONE_REG(0x6030000000100040 pc, {MEMORY_IPA:#x}) = 0",
        f"mmap(struct kvm_run of vm2.vcpu0, 0x0 bytes) = {RUN_ADDRESS:#x}",
        "vm2.vcpu0: KVM_SET_ONE_REG(0x6030000000160002 VENDOR_HYP, 0x2) = EBUSY",
    ]


def test_a_read_a_run_and_the_guests_calls(trace: Trace) -> None:
    vcpu = opened(trace)
    trace.clear()
    vcpu.immediate_exit()
    guests.call(vcpu, Call(0x80000000, (5, 0, 6), Conduit.SMC))
    batch = vcpu.vm.batch()
    batch.get(vcpu, STD)
    batch.set_filter(vcpu.vm.fd, 0x84000050, 4, 1)
    batch.run()
    assert listing(trace).splitlines() == [
        "vcpu (fd 12): KVM_RUN(immediate_exit) = 0",
        "vcpu (fd 12): KVM_RUN() = 0",
        "    left the guest with KVM_EXIT_MMIO",
        "    guest: SMC(0x80000000 SMCCC_VERSION, 0x5, 0x0, 0x6) -> x0=0x10001 x1=0x0 x2=0x0 x3=0x7",
        "vcpu (fd 12): KVM_GET_ONE_REG(0x6030000000160000 STD, reads 0x0) = 0",
        "fd 11: KVM_SET_DEVICE_ATTR(SMCCC_FILTER, base 0x84000050 TRNG_VERSION, 0x4 functions, DENY) = 0",
    ]


def test_an_id_that_the_dialects_share_has_both_names(trace: Trace) -> None:
    vcpu = opened(trace)
    vcpu.try_set_reg(RFC_V3.registers[0], 1)
    assert "0x6030000000140003 WORKAROUND_3 or RFC v3's STD, 0x1" in listing(trace)


def test_what_was_never_answered_and_never_reached(trace: Trace) -> None:
    vcpu = opened(trace)

    def dies(op: Op) -> OpResult:
        raise RuntimeError("the kernel is gone")

    vcpu.vm.kvm.subject = Traced(scripted(dies), trace)
    with pytest.raises(RuntimeError):
        vcpu.try_run()
    assert listing(trace).splitlines()[-2:] == ["vm2.vcpu0: KVM_RUN()", "... no answer"]
    Traced(scripted(lambda op: OpResult(0, 0, False, b"")), trace).run(_races())
    assert listing(trace).splitlines()[-1] == "vm2.vcpu0: KVM_RUN() = not reached (800 times)"


def _races() -> Program:
    program = Program()
    with program.concurrently() as stage:
        for _ in range(2):
            with stage.thread(repeat=800) as thread:
                thread.ioctl(VCPU_FD, uapi.KVM_RUN)
    return program


def test_threads_say_so(trace: Trace) -> None:
    Traced(scripted(answering()), trace).run(_races())
    assert listing(trace).splitlines() == [
        "thread 1 of 2, beside the others, 800 times:",
        "vcpu (fd 12): KVM_RUN() = 0 (800 times)",
        "thread 2 of 2, beside the others, 800 times:",
        "vcpu (fd 12): KVM_RUN() = 0 (800 times)",
    ]


def test_one_structure_in_several_threads(trace: Trace) -> None:
    program = KvmProgram()
    write, read = program.one_reg(STD, 1), program.one_reg(STD, 7)
    with program.concurrently() as stage:
        for argument in (write, read):
            with stage.thread(repeat=2):
                program.set_reg(VCPU_FD, write)
                program.get_reg(VCPU_FD, argument)
    Traced(scripted(answering()), trace).run(program)
    calls = [
        "vcpu (fd 12): KVM_SET_ONE_REG(0x6030000000160000 STD, 0x1) = 0 (2 times)",
        "vcpu (fd 12): KVM_GET_ONE_REG(0x6030000000160000 STD, reads 0x0) = 0 (2 times)",
    ]
    heads = [f"thread {number} of 2, beside the others, 2 times:" for number in (1, 2)]
    assert listing(trace).splitlines() == [heads[0], *calls, heads[1], *calls]


class Unnamed:
    """A register whose name must not be read."""

    id = STD.id

    @property
    def name(self) -> str:
        raise AssertionError("a description was formatted")


def test_descriptions_of_calls_that_succeed_are_not_formatted(trace: Trace) -> None:
    vcpu = opened(trace)
    batch = vcpu.vm.batch()
    batch.set(vcpu, Unnamed(), 1)
    batch.get(vcpu, Unnamed())
    batch.run()
    with pytest.raises(AssertionError, match="was formatted"):
        vcpu.vm.kvm.subject = Scripted(answering(errno.EBUSY))  # type: ignore[assignment]
        vcpu.set_reg(Unnamed(), 1)


def test_it_is_bounded_and_says_what_is_missing(trace: Trace) -> None:
    vcpu = opened(trace)
    for number in range(3 * MOST_PROGRAMS):
        vcpu.try_set_reg(RegisterId("any", number), number)
    lines = listing(trace).splitlines()
    assert len(trace.sent) == MOST_PROGRAMS and len(lines) == MOST_LINES + 1
    assert lines[0] == f"({2 * MOST_PROGRAMS + 2} earlier programs were not kept; 4 earlier lines are left out)"
    trace.clear()
    for _ in range(5):
        vcpu.try_set_reg(STD, 1)
    assert listing(trace) == "vcpu (fd 12): KVM_SET_ONE_REG(0x6030000000160000 STD, 0x1) = 0   (5 times)"


def test_what_the_harness_asks_for_itself_is_not_the_tests(trace: Trace) -> None:
    vcpu = opened(trace)
    trace.clear()
    with trace.paused():
        vcpu.try_run()
    assert listing(trace) == ""


def test_every_kvm_ioctl_has_its_name() -> None:
    assert IOCTLS[uapi.KVM_SET_ONE_REG] == "KVM_SET_ONE_REG" and IOCTLS[uapi.KVM_RUN] == "KVM_RUN"
    assert all(request >> 8 & 0xFF == uapi.KVMIO for request in IOCTLS)


def test_a_bad_pointer_is_shown_as_it_is(trace: Trace) -> None:
    batch = Batch(Traced(scripted(answering()), trace))
    batch.ioctl("KVM_SET_ONE_REG", VCPU_FD, uapi.KVM_SET_ONE_REG, 0xDEAD0000)
    batch.program.reg_list(VCPU_FD, 9)
    batch.run()
    assert listing(trace).splitlines() == [
        "vcpu (fd 12): KVM_SET_ONE_REG(pointer 0xdead0000) = 0",
        "vcpu (fd 12): KVM_GET_REG_LIST(n = 9) = 0",
    ]


def test_a_register_access_is_shown_the_same_wherever_its_memory_is(trace: Trace) -> None:
    """A read that does not change its memory shows what was there."""
    program = KvmProgram()
    for one in (
        program.one_reg(STD, 5),
        program.one_reg(STD, 5, in_scratch=True),
        program.one_reg(STD, 5, memory=0x90),
    ):
        program.set_reg(VCPU_FD, one)
        program.get_reg(VCPU_FD, one)
    data = {Code.ONE_REG: b"", Code.IOCTL_PEEK: struct.pack("<Q", 5)}
    Traced(scripted(lambda op: OpResult(0, 0, True, data.get(op.code, b""))), trace).run(program)
    name, read = "0x6030000000160000 STD", "vcpu (fd 12): KVM_GET_ONE_REG(0x6030000000160000 STD, reads 0x5) = 0"
    assert listing(trace).splitlines() == [
        f"vcpu (fd 12): KVM_SET_ONE_REG({name}, 0x5) = 0", read,
        f"vcpu (fd 12): KVM_SET_ONE_REG({name}, 0x5) = 0", read,
        f"vcpu (fd 12): KVM_SET_ONE_REG({name}, pointer 0x90) = 0", read,
    ]  # fmt: skip
