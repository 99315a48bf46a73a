# SPDX-License-Identifier: GPL-2.0-only
"""The module that plants faults and the RFC's dialect, in a real kernel."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from helpers import build, guests
from helpers.contract.registers import MAINLINE, RFC_V3
from helpers.discovery.probe import probe
from helpers.errors import HarnessError
from helpers.executor.program import Program
from helpers.identity import SubjectId
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from helpers.progress import Progress
from helpers.smccc import NOT_SUPPORTED, Call
from helpers.subjects import choose
from helpers.subjects.base import Subject
from helpers.subjects.planted import MODULE, module_parameter
from helpers.subjects.watch import TAINTED
from helpers.uapi import kvm as uapi

DELETE_MODULE = 106
"""arm64's delete_module(2)."""
FROM_BOOT = 1 << 2
"""S: the emulated processor's, before any module. Ours are O (out of tree) and E (unsigned): tainted-kernels.rst."""


def test_rfc_dialect(plant: Callable[..., Kvm]) -> None:
    kvm = plant(dialect="rfc-v3")
    features = probe(kvm)
    assert features.dialect is RFC_V3 and features.capability == (3, 3)
    assert list(features.listed) == [r.id for r in RFC_V3.registers]
    with kvm.create_vm() as vm:
        listed = vm.vcpu.reg_list()
        for register in MAINLINE.registers:
            assert register.id not in listed
            assert vm.vcpu.try_get_reg(register) == (None, errno.ENOENT)
            assert vm.vcpu.try_set_reg(register, 0) == errno.ENOENT


def test_the_next_fault_takes_the_same_machine(plant: Callable[..., Kvm], warm: dict[SubjectId, Subject]) -> None:
    first = plant("default-empty")
    with first.create_vm() as vm:
        assert vm.vcpu.get_regs(MAINLINE.registers[:3]) == [0, 0, 0]
    second = plant("none")
    with second.create_vm() as vm:
        assert vm.vcpu.get_regs(MAINLINE.registers[:3]) == [1, 1, 3]
    assert len(warm) == 1


def test_unloaded_it_leaves_its_own_taint_and_a_whole_kvm() -> None:
    machines: dict[SubjectId, Subject] = {}
    planted = SubjectId("debian:stable", fault="default-empty")
    kvm = Kvm(choose.make_subject(planted, choose.Means(None, Progress()), machines), guests.load_image(build.GUEST))
    with kvm.create_vm() as vm:
        assert vm.vcpu.get_regs(MAINLINE.registers[:3]) == [0, 0, 0]
    (machine,) = machines.values()
    program = Program()
    unloaded = program.syscall(DELETE_MODULE, program.scratch_bytes(MODULE.encode() + b"\0"), os.O_NONBLOCK)
    tainted = program.open(TAINTED, os.O_RDONLY)
    taint = program.read(tainted, 32)
    answer = machine.run(program)
    assert answer[unloaded].error == "0"
    assert int(answer[taint].data) & ~FROM_BOOT == 1 << 12 | 1 << 13
    with Kvm(machine, guests.load_image(build.GUEST)).create_vm() as vm:
        assert vm.vcpu.get_regs(MAINLINE.registers[:3]) == [1, 1, 3]
    machine.close()


def test_a_variant_counts_the_calls_that_meet_it(plant: Callable[..., Kvm]) -> None:
    kvm = plant("no-pmu")
    assert kvm.check_extension(uapi.KVM_CAP_ARM_PMU_V3) == 0 and module_parameter(kvm.subject, "met") == "1"
    kvm = plant("none")
    assert kvm.check_extension(uapi.KVM_CAP_ARM_PMU_V3) == 1 and module_parameter(kvm.subject, "met") == "0"


def test_an_interrupted_first_run_is_a_run(plant: Callable[..., Kvm]) -> None:
    """EINTR without a signal: the registers are fixed, and the next KVM_RUN enters the guest."""
    std = MAINLINE.registers[0]
    with plant("spurious-eintr").create_vm() as vm:
        program = Program()
        once = program.ioctl(vm.vcpu.fd, uapi.KVM_RUN)
        assert vm.kvm.subject.run(program)[once].error == "EINTR"
        assert vm.vcpu.try_set_reg(std, 0) == errno.EBUSY
        assert [vm.vcpu.try_run() for _ in range(4)] == [0] * 4
        assert int(module_parameter(vm.kvm.subject, "met")) > 1


def test_other_clocksource(plant: Callable[..., Kvm]) -> None:
    """The kernel changes to it, and back: KVM_PTP is supported only with the architected counter's."""
    supported = []
    for name in ("other-clocksource", "none"):
        kvm = plant(name)
        with kvm.create_vm() as vm:
            supported.append((probe(kvm).arch_counter, guests.call(vm.vcpu, Call(0x86000001)).x[0] != NOT_SUPPORTED))
    assert supported == [(False, False), (True, True)]


def test_unknown_fault(plant: Callable[..., Kvm]) -> None:
    with pytest.raises(HarnessError, match="has no fault 'nonsense'"):
        plant("nonsense")


def test_a_host_of_36_bits_makes_no_vm_of_the_default_type(plant: Callable[..., Kvm]) -> None:
    kvm = plant("ipa-36-bits")
    assert (kvm.ipa_bits, kvm.vm_type) == (36, 36)
    program = KvmProgram()
    vms = [program.create_vm(kvm.fd, vm_type) for vm_type in (0, 37, 40, 32, 36)]
    for vm in vms:
        program.close(vm)
    answer = kvm.subject.run(program)
    assert [answer[vm].error for vm in vms] == ["EINVAL", "EINVAL", "EINVAL", "0", "0"]
    assert probe(kvm).pv_time
