# SPDX-License-Identifier: GPL-2.0-only
"""Reads the values of the kernel on which the model's answers depend. Other chapters test these values."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from helpers.contract.model.state import Host
from helpers.contract.neighbours import PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Register
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from suites.model.alphabet import FEATURE_SETS
from suites.model.drive import DriveFacts, finish_init

_HIGH_ID = 17
"""A vCPU's id whose MPIDR_EL1 has more than one affinity level (sys_regs.c:reset_mpidr)."""


@pytest.fixture
def host(kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> Host:
    """The values of the kernel on which the model's answers depend."""
    bitmaps = {register.id for register in registers}
    others = [w.register for w in WORKAROUND_REGISTERS if w.register.id not in bitmaps]
    with kvm.create_vm() as vm:
        version = vm.vcpu.get_reg(PSCI_VERSION)
        levels = [(register.name, vm.vcpu.try_get_reg(register)[0]) for register in others]
    ids = (*Host.vcpu_ids, _HIGH_ID) if kvm.check_extension(uapi.KVM_CAP_MAX_VCPUS) > _HIGH_ID else Host.vcpu_ids
    return Host(
        contract.dialect, registers, version, tuple((name, value) for name, value in levels if value is not None),
        contract.arch_counter, contract.pv_time, contract.smc, contract.smccc_filter,
        contract.smccc, contract.new_functions, _feature_sets(kvm), ids, contract.late_vcpus,
    )  # fmt: skip


def _feature_sets(kvm: Kvm) -> tuple[tuple[int, ...], ...]:
    """The first two of FEATURE_SETS, which every kernel must accept, and the others with which a vCPU can run."""
    program = KvmProgram()
    vms = [program.create_guest_vm(kvm.fd, kvm.vm_type, kvm.image) for _ in FEATURE_SETS]
    vcpus = [program.create_guest_vcpu(vm.fd, 0, kvm.run_size, f) for vm, f in zip(vms, FEATURE_SETS, strict=True)]
    runs = []
    for vcpu, features in zip(vcpus, FEATURE_SETS, strict=True):
        finish_init(program, vcpu.fd, features)
        runs.append(program.run_with_immediate_exit(vcpu.fd, vcpu.run_address))
    for vm, vcpu in zip(vms, vcpus, strict=True):
        program.close_vm(vm.fd, vm.memory, [(vcpu.fd, vcpu.run_address)], kvm.run_size)
    answer = kvm.subject.run(program)
    return tuple(
        features
        for features, vcpu, run in zip(FEATURE_SETS, vcpus, runs, strict=True)
        if features in FEATURE_SETS[:2] or (not answer[vcpu.init[1]].errno and answer[run].error == "EINTR")
    )


@pytest.fixture
def drive_facts(kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> DriveFacts:
    """The registers and listed ids of the kernel, which the calls of a sequence use."""
    with kvm.create_vm() as vm:
        return DriveFacts(contract.dialect, registers, tuple(vm.vcpu.reg_list()))
