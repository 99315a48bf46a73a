# SPDX-License-Identifier: GPL-2.0-only
"""Kvm and Vm leave nothing open when a call fails.

The executor runs in this process, where descriptors and mappings can be counted. There is no KVM: a KVM ioctl that
creates a descriptor opens a file instead, and the others do nothing.
"""

from __future__ import annotations

import errno
import mmap
import os
import platform
from pathlib import Path

import pytest

from helpers import build
from helpers.batch import KvmError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Arg, ArgType, Code, Op, OpResult, Program
from helpers.guest_layout import MEMORY_SIZE
from helpers.kvm import Kvm
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls

_MEMFD_CREATE = {"x86_64": 319, "aarch64": syscalls.MEMFD_CREATE}[platform.machine()]
"""The number of this machine's memfd_create(2)."""
CREATING = (uapi.KVM_CREATE_VM, uapi.KVM_CREATE_VCPU)
RETURNS = {uapi.KVM_GET_API_VERSION: uapi.KVM_API_VERSION, uapi.KVM_GET_VCPU_MMAP_SIZE: mmap.PAGESIZE}
VCPU_STEPS = ["KVM_CREATE_VCPU", "KVM_ARM_VCPU_INIT", "KVM_SET_ONE_REG"]
VM_STEPS = ["KVM_CREATE_VM", "KVM_SET_USER_MEMORY_REGION", "KVM_ARM_PREFERRED_TARGET", *VCPU_STEPS]


class NoKvm:
    """A subject in this process. ``refused`` is the ioctl that fails; the others succeed and do nothing.

    ``ipa_limit`` (bits) is the host's: the answer to KVM_CAP_ARM_VM_IPA_SIZE, and the largest VM.
    An old kernel (``is_old``) does not have that capability.
    """

    label, generation, alive = "no KVM", 1, True

    def __init__(self) -> None:
        build.build_all()
        self._native = Native(build.NATIVE)
        self.refused, self.unmappable, self.has_memfd = 0, False, True
        self.ipa_limit, self.is_old = 48, False

    def start(self) -> None:
        """It runs."""

    def run(self, program: Program) -> Answer:
        for thread in (thread for stage in program.stages for thread in stage):
            thread.ops[:] = [(index, self._replaced(op)) for index, op in thread.ops]
        answer = wire.decode(program, self._native.run(wire.encode(program)))
        results = list(answer.results)
        for index, op in (each for stage in program.stages for thread in stage for each in thread.ops):
            if op.code in (Code.IOCTL, Code.ONE_REG) and op.args[1].value != self.refused:
                results[index] = (self._result(op),)
        return Answer(tuple(results), answer.expired)

    def _replaced(self, op: Op) -> Op:
        if op.code == Code.SYSCALL and op.args[0].value == syscalls.MEMFD_CREATE and self.has_memfd:
            return Op(Code.SYSCALL, (_MEMFD_CREATE, *op.given[1:]), b"")
        if op.code == Code.SYSCALL:
            # The numbers are arm64's.
            return Op(Code.CLOCK, (Arg(ArgType.VALUE, 0, 1),), b"")
        creates = op.code == Code.IOCTL and op.args[1].value in CREATING and op.args[1].value != self.refused
        if self._is_too_large(op) or (not creates and op.code != Code.OPEN):
            return op
        path = b"/dev/null\0" if creates and self.unmappable else b"/dev/zero\0"
        return Op(Code.OPEN, (Arg(ArgType.VALUE, 0, os.O_RDWR), Arg(ArgType.VALUE, 0, 0)), path)

    def _is_too_large(self, op: Op) -> bool:
        """Whether this is KVM_CREATE_VM with a type beyond the limit; 0 is 40 bits."""
        creates = op.code == Code.IOCTL and op.args[1].value == uapi.KVM_CREATE_VM
        return creates and (op.args[2].value or 40) > self.ipa_limit

    def _result(self, op: Op) -> OpResult:
        if self._is_too_large(op):
            return OpResult(-1, errno.EINVAL, True, b"")
        returns = {**RETURNS, uapi.KVM_CHECK_EXTENSION: 0 if self.is_old else self.ipa_limit}
        return OpResult(returns.get(op.args[1].value, 0), 0, True, b"")


def _held() -> tuple[int, int]:
    """The open descriptors of this process, and the bytes of its shared mappings and of guest memory."""
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if "s " in line or "memfd:guest" in line]
    ranges = [line.split()[0].split("-") for line in lines]
    return len(list(Path("/proc/self/fd").iterdir())), sum(int(end, 16) - int(start, 16) for start, end in ranges)


@pytest.fixture
def subject() -> NoKvm:
    return NoKvm()


@pytest.fixture
def kvm(subject: NoKvm) -> Kvm:
    return Kvm(subject, b"an image that no guest runs")  # type: ignore[arg-type]


def test_no_vm_is_open_in_the_block_without_the_lasting_one(kvm: Kvm) -> None:
    before = _held()
    with kvm.without_lasting_vm():
        assert _held()[0] == before[0] - 1
    assert _held() == before


def test_a_kernel_that_dies_in_that_block_gets_no_other_program(subject: NoKvm, kvm: Kvm) -> None:
    before = _held()
    with pytest.raises(RuntimeError, match="it died"), kvm.without_lasting_vm():
        subject.alive = False
        raise RuntimeError("it died")
    assert _held()[0] == before[0] - 1


@pytest.mark.parametrize("name", VM_STEPS)
def test_a_vm_that_cannot_be_made_leaves_nothing(name: str, subject: NoKvm, kvm: Kvm) -> None:
    before = _held()
    subject.refused = getattr(uapi, name)
    with pytest.raises(KvmError, match=f"^{name}.* failed: ENOTTY"):
        kvm.create_vm(2)
    assert _held() == before


def test_a_vm_whose_vcpu_cannot_be_mapped_leaves_nothing(subject: NoKvm, kvm: Kvm) -> None:
    before = _held()
    subject.unmappable = True
    with pytest.raises(KvmError, match=r"^mmap of struct kvm_run failed: ENODEV"):
        kvm.create_vm(2)
    assert _held() == before


@pytest.mark.parametrize("name", VCPU_STEPS)
def test_a_vcpu_that_cannot_be_made_leaves_nothing(name: str, subject: NoKvm, kvm: Kvm) -> None:
    vm = kvm.create_vm()
    before = _held()
    subject.refused = getattr(uapi, name)
    with pytest.raises(KvmError, match=f"^{name}.* failed: ENOTTY"):
        vm.create_vcpu()
    assert _held() == before and len(vm.vcpus) == 1


def test_a_vm_that_is_closed_leaves_nothing(kvm: Kvm) -> None:
    before = _held()
    with kvm.create_vm(2):
        descriptors, mapped = _held()
        assert (descriptors - before[0], mapped - before[1]) == (3, MEMORY_SIZE + 2 * mmap.PAGESIZE)
    assert _held() == before


def test_a_vm_that_is_closed_later_leaves_nothing(subject: NoKvm, kvm: Kvm) -> None:
    before = _held()
    kvm.close_later(kvm.create_vm(2))
    assert _held() != before
    subject.run(kvm.closing())
    assert _held() == before
    subject.run(kvm.closing())
    assert _held() == before


def test_the_end_of_kvm_closes_what_was_to_be_closed_later(subject: NoKvm) -> None:
    before = _held()
    kvm = Kvm(subject, b"an image that no guest runs")  # type: ignore[arg-type]
    kvm.close_later(kvm.create_vm())
    kvm.close()
    assert _held() == before


@pytest.mark.parametrize("has_memfd", [True, False])
def test_each_vm_has_its_own_memory_that_begins_with_the_code(subject: NoKvm, has_memfd: bool) -> None:
    before, subject.has_memfd = _held(), has_memfd
    kvm = Kvm(subject, b"code")  # type: ignore[arg-type]
    assert (kvm.image.fd is not None) is has_memfd
    with kvm.create_vm() as first, kvm.create_vm() as second:
        program = Program()
        program.poke(first.memory, b"other")
        whole = [program.peek(vm.memory, MEMORY_SIZE) for vm in (first, second)]
        answer = subject.run(program)
    assert [answer[each].data.rstrip(b"\0") for each in whole] == [b"other", b"code"]
    kvm.close()
    assert _held() == before


@pytest.mark.parametrize(("limit", "bits", "vm_type"), [(32, 32, 32), (36, 36, 36), (40, 40, 0), (52, 40, 0)])
def test_a_vm_has_the_bits_that_the_host_allows(subject: NoKvm, limit: int, bits: int, vm_type: int) -> None:
    subject.ipa_limit = limit
    before = _held()
    kvm = Kvm(subject, b"an image that no guest runs")  # type: ignore[arg-type]
    assert (kvm.ipa_bits, kvm.vm_type) == (bits, vm_type)
    with kvm.create_vm(2):
        # /dev/kvm, the VM that stays open, the memfd, and the VM with two vCPUs.
        assert _held()[0] - before[0] == 6
    kvm.close()
    assert _held() == before


def test_a_kernel_without_the_capability_makes_vms_of_type_0(subject: NoKvm) -> None:
    subject.is_old = True
    kvm = Kvm(subject, b"an image that no guest runs")  # type: ignore[arg-type]
    assert (kvm.ipa_bits, kvm.vm_type) == (40, 0)


def test_an_old_kernel_that_makes_no_vm_is_named_with_the_type(subject: NoKvm) -> None:
    subject.is_old, subject.ipa_limit = True, 36
    kvm = Kvm(subject, b"an image that no guest runs")  # type: ignore[arg-type]
    with pytest.raises(KvmError, match=r"^KVM_CREATE_VM \(type 0\) failed: EINVAL"):
        kvm.create_vm()
