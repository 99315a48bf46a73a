# SPDX-License-Identifier: GPL-2.0-only
"""What the planting module keeps of VMs and of the kernel: under concurrent calls, many VMs, replanting, unloading.

The kernel under test has two processors here, so that vCPUs make calls at once.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from helpers import guests
from helpers.contract.registers import MAINLINE
from helpers.executor.program import Arg, Program
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import KvmProgram
from helpers.smccc import NOT_SUPPORTED, Call
from helpers.subjects import qemu
from helpers.subjects.base import Subject
from helpers.subjects.planted import MODULE, module_parameter
from suites.support.threads import sleep

DELETE_MODULE = 106
"""arm64's delete_module(2)."""
TRNG_VERSION, TRNG_RND64, KVM_PTP = Call(0x84000050), Call(0xC4000053, (192,)), Call(0x86000001)
STD = MAINLINE.registers[0]
BITMAPS = MAINLINE.registers[:3]
SPIN = struct.pack("<I", 0x14000000)
""""b ." (Arm DDI 0487, C6.2: B with offset 0)."""
INSIDE_MS = 300
"""How long a vCPU stays in a guest that spins."""
PROGRAMS, RUNS = 8, 3_000
"""KVM_RUNs of each vCPU in each program, which ends well before its deadline. A count that is not atomic may survive
these; it needs some 100,000 to lose one for certain."""
MANY_VMS = 100
LOG_RECORDS = 1000


@pytest.fixture(scope="module", autouse=True)
def two_processors() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qemu, "ONE_IS_ON", "")
        yield


def replant(vm: Vm, fault: str, plant: Callable[..., Kvm]) -> None:
    """Plants another fault; the VM stays."""
    vm.kvm = plant(fault)


def unload(program: Program) -> Arg:
    return program.syscall(DELETE_MODULE, program.scratch_bytes(MODULE.encode() + b"\0"), os.O_NONBLOCK)


def test_calls_of_two_vcpus_leave_the_gates_as_they_were(plant: Callable[..., Kvm]) -> None:
    with plant("gate-always-default").create_vm(2) as vm:
        vm.vcpu.set_regs([(register, 0) for register in BITMAPS])
        program = KvmProgram()
        guests.put_calls(program, vm.memory, [TRNG_VERSION] * guests.MAX_CALLS)
        with program.concurrently() as stage:
            for vcpu in vm.vcpus:
                with stage.thread(repeat=40):
                    program.run(vcpu.fd)
        assert not vm.kvm.subject.run(program).expired
        assert vm.vcpu.get_regs(BITMAPS) == [0, 0, 0]
        assert guests.call(vm.vcpu, TRNG_VERSION).x[0] == 0x10000
        replant(vm, "none", plant)
        assert vm.vcpu.get_regs(BITMAPS) == [0, 0, 0]
        assert guests.call(vm.vcpu, TRNG_VERSION).x[0] == NOT_SUPPORTED


def test_a_write_beside_calls_stays(plant: Callable[..., Kvm]) -> None:
    with plant("lock-missing").create_vm(2) as vm:
        program = KvmProgram()
        guests.put_calls(program, vm.memory, [TRNG_VERSION] * guests.MAX_CALLS)
        writes = [program.one_reg(STD, value) for value in (0, 1)]
        read = program.one_reg(STD)
        with program.concurrently() as stage:
            with stage.thread(repeat=40):
                run = program.run(vm.vcpu.fd)
            with stage.thread(repeat=1000):
                reads = []
                for write in writes:
                    program.set_reg(vm.vcpus[1].fd, write)
                    reads.append(program.get_reg(vm.vcpus[1].fd, read))
        answer = vm.kvm.subject.run(program)
        assert not answer.expired and not answer[run].errno
        for value, each in enumerate(reads):
            values = each.values(answer)
            assert values.count(value) == len(values)


def test_vcpus_in_kvm_run_are_counted(plant: Callable[..., Kvm]) -> None:
    """Another vCPU's ONE_REG waits while one is in KVM_RUN, and no longer."""
    with plant("race-others-wait").create_vm(2) as vm:
        for _ in range(PROGRAMS):
            _run_at_once(vm)
        assert _read_beside(vm, inside=False)
        assert not _read_beside(vm, inside=True)


def _run_at_once(vm: Vm) -> None:
    program = KvmProgram()
    for vcpu in vm.vcpus:
        program.set_immediate_exit(vcpu.run_address, True)
    with program.concurrently() as stage:
        for vcpu in vm.vcpus:
            with stage.thread(repeat=RUNS):
                program.run(vcpu.fd, immediate_exit=True)
    for vcpu in vm.vcpus:
        program.set_immediate_exit(vcpu.run_address, False)
    assert not vm.kvm.subject.run(program).expired


def _read_beside(vm: Vm, *, inside: bool) -> bool:
    """Whether a read through vCPU 1 ends while vCPU 0 is in KVM_RUN, or without that."""
    program = KvmProgram(deadline_ms=INSIDE_MS)
    program.poke(vm.memory, SPIN)
    read = program.one_reg(STD)
    with program.concurrently() as stage:
        if inside:
            with stage.thread():
                program.run(vm.vcpu.fd)
        with stage.thread():
            sleep(program, INSIDE_MS // 2 * 1_000_000)
            program.get_reg(vm.vcpus[1].fd, read)
            after = program.clock(time.CLOCK_MONOTONIC)
    return vm.kvm.subject.run(program)[after].ran


def test_every_one_of_many_vms_is_remembered(plant: Callable[..., Kvm]) -> None:
    kvm = plant("lock-first-vcpu")
    vms = [kvm.create_vm()]
    try:
        vms[0].vcpu.immediate_exit()
        for _ in range(MANY_VMS - 1):
            vms.append(kvm.create_vm())
            assert vms[-1].vcpu.try_set_reg(STD, 0) == 0
        assert vms[0].vcpu.try_set_reg(STD, 0) == errno.EBUSY
    finally:
        for vm in vms:
            vm.close()


def test_a_vm_that_is_gone_is_forgotten(plant: Callable[..., Kvm]) -> None:
    kvm = plant("lock-first-vcpu")
    before = int(module_parameter(kvm.subject, "vms"))
    vms = [kvm.create_vm() for _ in range(3)]
    assert int(module_parameter(kvm.subject, "vms")) == before + 3
    for vm in vms:
        vm.close()
    assert int(module_parameter(kvm.subject, "vms")) == before


@pytest.mark.parametrize(("fault", "call"), [("trng-constant", TRNG_RND64), ("ptp-frozen", KVM_PTP)])
def test_the_first_answer_is_forgotten(fault: str, call: Call, plant: Callable[..., Kvm]) -> None:
    with plant("none").create_vm() as vm:
        answers = []
        for name in (fault, fault, "none", fault):
            replant(vm, name, plant)
            answers.append(guests.call(vm.vcpu, call).x[1])
    first, same, _, again = answers
    assert first == same != again


def test_what_happens_once_happens_after_each_planting(plant: Callable[..., Kvm]) -> None:
    warnings = []
    with plant("none").create_vm() as vm:
        vm.vcpu.immediate_exit()
        for name in ("warns", "none", "warns"):
            replant(vm, name, plant)
            for _ in range(2):
                assert vm.vcpu.try_set_reg(STD, 0) == errno.EBUSY
            warnings.append(_warnings(vm.kvm.subject))
    assert warnings == [1, 1, 2]


def _warnings(subject: Subject) -> int:
    program = Program()
    fd = program.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    records = [program.read(fd, 8192) for _ in range(LOG_RECORDS)]
    program.close(fd)
    answer = subject.run(program)
    return sum(answer[record].data.partition(b";")[2] == b"planted\n" for record in records)


def test_the_module_stays_while_a_vcpu_runs(plant: Callable[..., Kvm]) -> None:
    """And is unloaded once it is back. The last test: the machine has no module afterwards."""
    kvm = plant("none")
    with kvm.create_vm() as vm:
        program = KvmProgram(deadline_ms=INSIDE_MS)
        program.poke(vm.memory, SPIN)
        with program.concurrently() as stage:
            with stage.thread():
                run = program.run(vm.vcpu.fd)
            with stage.thread():
                sleep(program, INSIDE_MS // 2 * 1_000_000)
                refused = unload(program)
        answer = kvm.subject.run(program)
        assert answer[run].errno == errno.EINTR and answer[refused].errno == errno.EAGAIN
        program = KvmProgram()
        done = unload(program)
        assert kvm.subject.run(program)[done].error == "0"
        assert vm.vcpu.get_regs(BITMAPS) == [1, 1, 3]
        assert vm.vcpu.immediate_exit() == errno.EINTR
