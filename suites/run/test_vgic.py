# SPDX-License-Identifier: GPL-2.0-only
"""VMs with an in-kernel GICv3, with and without the addresses that the first KVM_RUN needs."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from helpers import guests
from helpers.contract.check import EBUSY, Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import RFC_V3, Register
from helpers.executor.program import Program
from helpers.kvm import PSCI_0_2, Kvm, Vcpu, Vm
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId, RegisterLike, error_name
from suites.conftest import MakeVm
from suites.run.runs import WITH_PMU
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view

DISTRIBUTOR, REDISTRIBUTORS = 0x0800_0000, 0x080A_0000
"""Guest physical addresses where the guest has no memory."""
_PSCI_VERSION = 0x84000000
HELD = pytest.mark.parametrize("held", ["empty", "full"])


@dataclass
class Vgics:
    """Makes GICv3s and closes them."""

    kvm: Kvm
    made: list[int] = field(default_factory=list)

    def create(self, vm: Vm) -> int:
        """KVM_CREATE_DEVICE: the device's fd, without addresses."""
        batch = vm.batch()
        vgic = uapi.KVM_DEV_TYPE_ARM_VGIC_V3
        device = batch.program.structure(uapi.pack("kvm_create_device", type=vgic), "type {}", vgic)
        done = batch.call("KVM_CREATE_DEVICE", vm.fd, uapi.KVM_CREATE_DEVICE, device)
        written = batch.program.peek(device.address + uapi.offset("kvm_create_device", "fd"), 4)
        answer = batch.run()
        if done.errno:
            why = error_name(done.errno)
            pytest.skip(f"not applicable, because this KVM has no in-kernel GICv3 (KVM_CREATE_DEVICE: {why})")
        self.made.append(int.from_bytes(answer[written].data, "little"))
        return self.made[-1]

    def set_up(self, vm: Vm) -> None:
        """Creates a GICv3 that is ready to run. Raises KvmError."""
        device, batch = self.create(vm), vm.batch()
        for group, attr, address in (
            (uapi.KVM_DEV_ARM_VGIC_GRP_ADDR, uapi.KVM_VGIC_V3_ADDR_TYPE_DIST, DISTRIBUTOR),
            (uapi.KVM_DEV_ARM_VGIC_GRP_ADDR, uapi.KVM_VGIC_V3_ADDR_TYPE_REDIST, REDISTRIBUTORS),
            (uapi.KVM_DEV_ARM_VGIC_GRP_CTRL, uapi.KVM_DEV_ARM_VGIC_CTRL_INIT, 0),
        ):
            what = f"vGIC attribute {group}.{attr}"
            done = batch.device_attr(what, device, uapi.KVM_SET_DEVICE_ATTR, group, attr, address.to_bytes(8, "little"))
        batch.run()
        done.ok()

    def close(self) -> None:
        """Closes them all."""
        program = Program()
        for device in self.made:
            program.close(device)
        self.made = []
        if self.kvm.alive:
            self.kvm.subject.run(program)


@pytest.fixture
def vgics(kvm: Kvm) -> Iterator[Vgics]:
    """Creates GICv3s. They are closed before their VMs."""
    made = Vgics(kvm)
    yield made
    made.close()


@HELD
@pytest.mark.clause("RUN-6", "RUN-10", "FILTER-12")
def test_ready(held: str, registers: tuple[Register, ...], contract: Probe, make_vm: MakeVm, vgics: Vgics) -> None:
    """The registers are writable before KVM_RUN and locked after it. KVM_CREATE_VCPU fails with an initialised vGIC.

    The filter denies as without a vGIC. Closing the vGIC's fd changes nothing.
    """
    vm, comparison = make_vm(2), Comparison()
    vgics.set_up(vm)
    if contract.smccc_filter:
        vm.set_filter(_PSCI_VERSION, 1, uapi.KVM_SMCCC_FILTER_DENY)
    values = fill(vm, registers, held)
    comparison.error("KVM_CREATE_VCPU with an initialised vGIC", EBUSY, vm.try_create_vcpu()[1])
    compare_open(comparison, vm.vcpus, registers, values, "with a vGIC, before a run")
    if not values[registers[0].name]:
        vgics.close()
        compare_open(comparison, vm.vcpus, registers, values, "with a vGIC without an fd")
    compare_view(comparison, vm.vcpus[1], contract, values, "with a vGIC")
    if contract.smccc_filter:
        denied = guests.call(vm.vcpus[1], Call(_PSCI_VERSION))
        comparison.x("PSCI_VERSION, which the filter denies, with a vGIC", CLOSED, denied.x0_3)
    vgics.close()
    comparison.error("KVM_CREATE_VCPU after a run", EBUSY, vm.try_create_vcpu()[1])
    compare_fixed(comparison, vm.vcpus, registers, values, "with a vGIC, after a run")
    comparison.done()


@HELD
@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3")
def test_creation(held: str, registers: tuple[Register, ...], make_vm: MakeVm, vgics: Vgics) -> None:
    """A vGIC that is created and initialised changes neither registers that were written before nor PSCI_VERSION."""
    vm, comparison = make_vm(2), Comparison()
    values, version = fill(vm, registers, held), vm.vcpu.get_reg(PSCI_VERSION)
    vgics.set_up(vm)
    compare_open(comparison, vm.vcpus, registers, values, "after a vGIC was initialised")
    comparison.value("PSCI_VERSION after a vGIC was initialised", version, vm.vcpu.get_reg(PSCI_VERSION))
    comparison.done()


_PMU = (uapi.KVM_ARM_VCPU_PMU_V3_CTRL, "PMU")
_TIMER = (1, "timer")
"""The groups of devices/vcpu.rst 1 and 2."""
_ATTRIBUTES = (
    (*_TIMER, 0, struct.pack("<i", 20)), (*_TIMER, 1, struct.pack("<i", 21)), (*_TIMER, 2, struct.pack("<i", 22)),
    (*_PMU, 0, struct.pack("<i", 23)), (*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_FILTER, struct.pack("<2HB3x", 0, 8, 0)),
    (*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_FILTER, struct.pack("<2HB3x", 2, 2, 1)),
    (*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_INIT, b""),
)  # fmt: skip
"""Interrupts of the timers and the PMU, PMU events that are allowed and denied, and the PMU's initialisation."""


@HELD
@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3")
def test_vcpu_attributes(held: str, registers: tuple[Register, ...], kvm: Kvm, make_vm: MakeVm, vgics: Vgics) -> None:
    """Attributes of a vCPU that are set to values which the kernel accepts change nothing that the contract defines."""
    features = WITH_PMU if kvm.check_extension(uapi.KVM_CAP_ARM_PMU_V3) else PSCI_0_2
    vm, comparison = make_vm(1, features), Comparison()
    vgics.set_up(vm)
    values, version = fill(vm, registers, held), vm.vcpu.get_reg(PSCI_VERSION)
    for group, name, attr, data in _ATTRIBUTES:
        batch, what = vm.batch(), f"after attribute {attr} of the {name} was set"
        batch.device_attr(what, vm.vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)
        batch.run()
        compare_open(comparison, vm.vcpus, registers, values, what)
        comparison.value(f"PSCI_VERSION {what}", version, vm.vcpu.get_reg(PSCI_VERSION))
    comparison.done()


def _compare_dead(comparison: Comparison, vcpu: Vcpu, registers: tuple[Register, ...], what: str) -> None:
    asked: list[RegisterLike] = [*registers]
    asked += [RegisterId("an unknown index", registers[-1].id | 0x8000), RegisterId("no arm64 register", 0)]
    batch = vcpu.vm.batch()
    done = [(r, batch.get(vcpu, r, memory=0xA5A5), batch.set(vcpu, r, 0)) for r in asked]
    unreadable = batch.ioctl("", vcpu.fd, uapi.KVM_SET_ONE_REG, 0)
    batch.run()
    for register, get, put in done:
        comparison.error(f"KVM_GET_ONE_REG of {register.name} on {what} of a dead VM", errno.EIO, get.errno)
        comparison.value("the caller's memory after it", 0xA5A5, get.memory)
        comparison.error(f"KVM_SET_ONE_REG of {register.name} on {what} of a dead VM", errno.EIO, put.errno)
    comparison.error(f"KVM_SET_ONE_REG with an argument at NULL on {what} of a dead VM", errno.EIO, unreadable.errno)


@pytest.mark.clause("RUN-9")
def test_not_ready(registers: tuple[Register, ...], contract: Probe, make_vm: MakeVm, vgics: Vgics) -> None:
    """After a first KVM_RUN with a vGIC without addresses, every ONE_REG gives EIO."""
    if contract.dialect is RFC_V3:
        pytest.skip("not applicable, because rfc-v3 does not define it")
    vm, other, comparison = make_vm(2), make_vm(), Comparison()
    blank = vm.create_vcpu(features=None)
    vgics.create(vm)
    values = fill(other, registers, "empty")
    comparison.error("KVM_RUN with a vGIC without addresses", errno.ENXIO, vm.vcpu.try_run())
    for vcpu, what in ((vm.vcpu, "the vCPU"), (vm.vcpus[1], "another vCPU"), (blank, "a vCPU not initialised")):
        _compare_dead(comparison, vcpu, registers, what)
    compare_open(comparison, other.vcpus, registers, values, "of another VM")
    comparison.done()
