# SPDX-License-Identifier: GPL-2.0-only
"""VMs with an in-kernel GICv3, with and without the addresses that the first KVM_RUN needs."""

from __future__ import annotations

import errno
import struct
from itertools import product

import pytest

from helpers import guests
from helpers.contract.check import EBUSY, Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import RFC_V3, Register
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.kvm import PSCI_0_2, Kvm, Vcpu, Vm
from helpers.kvm_program import PC
from helpers.smccc import Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId, RegisterLike
from suites.conftest import MakeVm
from suites.run.runs import WITH_PMU
from suites.run.vgics import Vgics
from suites.support.held import compare_fixed, compare_open, fill
from suites.support.view import compare_view

_PSCI_VERSION, _FORWARDED = 0x84000000, 0x86001000
HELD = pytest.mark.parametrize("held", ["empty", "full"])


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
_TIMER = (uapi.KVM_ARM_VCPU_TIMER_CTRL, "timer")
"""The groups of devices/vcpu.rst 1 and 2."""
_ATTRIBUTES = (
    (*_TIMER, 0, struct.pack("<i", 20)), (*_TIMER, 1, struct.pack("<i", 21)), (*_TIMER, 2, struct.pack("<i", 22)),
    *[(*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_SET_PMU, struct.pack("<i", -2))] * 2,
    (*_PMU, 0, struct.pack("<i", 23)), (*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_FILTER, struct.pack("<2HB3x", 0, 8, 0)),
    (*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_FILTER, struct.pack("<2HB3x", 2, 2, 1)),
    (*_PMU, uapi.KVM_ARM_VCPU_PMU_V3_INIT, b""),
)  # fmt: skip
"""Interrupts of the timers, twice a PMU that does not exist, the PMU's interrupt, events that it counts and does not
count, and its initialisation.
"""


@HELD
@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3", "LEFT-3")
def test_vcpu_attributes(
    held: str, registers: tuple[Register, ...], kvm: Kvm, contract: Probe, make_vm: MakeVm, vgics: Vgics
) -> None:
    """Attributes of a vCPU change nothing that the contract defines, also refused ones after KVM_RUN."""
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
    comparison.error("KVM_RUN with immediate_exit", errno.EINTR, vm.vcpu.immediate_exit())
    for group, name, attr, data in _ATTRIBUTES:
        batch, what = vm.batch(), f"after attribute {attr} of the {name} was refused after KVM_RUN"
        batch.device_attr(what, vm.vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, group, attr, data)
        batch.run()
        compare_fixed(comparison, vm.vcpus, registers, values, what)
    compare_view(comparison, vm.vcpu, contract, values, "after the attributes of a vCPU were set")
    comparison.done()


_GROUPS, _ATTRS = 10, 5
"""More than the groups of devices/arm-vgic-v3.rst, and the attributes of the group of controls, also the ITS's."""
_SAVED = (
    *((uapi.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset) for offset in (0, 0x80)),
    *((uapi.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, offset) for offset in (0, 0x1_0080)),
    (uapi.KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xC230),
    (uapi.KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 0),
)
"""Groups and attributes that a VMM saves and restores: GICD_CTLR, GICD_IGROUPR0, GICR_CTLR and GICR_IGROUPR0 of vCPU 0,
its ICC_PMR_EL1, and the levels of its interrupts (devices/arm-vgic-v3.rst).
"""
_GUEST = struct.pack(
    "<7I",
    0xD2A10001,  # mov x1, #0x8000000: DISTRIBUTOR
    0xB9400020,  # ldr w0, [x1]
    0xD2C02000,  # mov x0, #1 << 40: to all other vCPUs
    0xD518CBA0,  # msr icc_sgi1r_el1, x0
    0xD2A80001,  # mov x1, #0x40000000: EXIT_IPA of guest_asm/smccc_calls.S
    0x39000020,  # strb w0, [x1]
    0x14000000,  # b .
)
_GUEST_AT = PV_TIME_IPA + 0x800
"""The guest physical address of _GUEST: memory that neither the mailbox nor a stolen-time area uses."""


def _restore(vm: Vm, device: int) -> None:
    """Reads _SAVED, and writes back what was read. Results are ignored: a host may lack some."""
    batch = vm.batch()
    memory = batch.program.scratch(8)
    for group, attr in _SAVED:
        for request in (uapi.KVM_GET_DEVICE_ATTR, uapi.KVM_SET_DEVICE_ATTR):
            batch.device_attr(f"vGIC attribute {group}.{attr:#x}", device, request, group, attr, memory)
    batch.run()


def _set_every_attribute(vm: Vm, devices: list[int]) -> None:
    batch = vm.batch()
    memory = batch.program.scratch(8)
    for device, group, attr in product(devices, range(_GROUPS), range(_ATTRS)):
        for request, to in ((uapi.KVM_HAS_DEVICE_ATTR, memory), (uapi.KVM_SET_DEVICE_ATTR, 0)):
            batch.device_attr(f"vGIC attribute {group}.{attr}", device, request, group, attr, to)
    batch.run()


def _run_guest(vm: Vm) -> int:
    """The errno of KVM_RUN of _GUEST."""
    batch = vm.batch()
    batch.program.poke(vm.memory + (_GUEST_AT - MEMORY_IPA), _GUEST)
    batch.set(vm.vcpu, PC, _GUEST_AT)
    run = batch.run_vcpu(vm.vcpu)
    batch.run_with_immediate_exit(vm.vcpu)
    batch.program.set_entry(vm.vcpu.fd)
    batch.run()
    return run.errno


@HELD
@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3", "EVENT-4", "FILTER-8")
def test_use(held: str, registers: tuple[Register, ...], contract: Probe, make_vm: MakeVm, vgics: Vgics) -> None:
    """A guest that uses the vGIC, an ITS, and the vGIC's attributes change nothing that the contract defines."""
    vm, comparison = make_vm(2), Comparison()
    vgics.set_up(vm)
    device = vgics.made[-1]
    vgics.try_create(vm, uapi.KVM_DEV_TYPE_ARM_VGIC_ITS)
    if contract.smccc_filter:
        vm.set_filter(_FORWARDED, 1, uapi.KVM_SMCCC_FILTER_FWD_TO_USER)
    values, version = fill(vm, registers, held), vm.vcpu.get_reg(PSCI_VERSION)
    _restore(vm, device)
    compare_open(comparison, vm.vcpus, registers, values, "after the vGIC's state was restored before a run")
    comparison.error("KVM_RUN of a guest that uses the vGIC", 0, _run_guest(vm))
    compare_fixed(comparison, vm.vcpus, registers, values, "after a guest used the vGIC")
    _restore(vm, device)
    compare_fixed(comparison, vm.vcpus, registers, values, "after the vGIC's state was restored")
    _set_every_attribute(vm, vgics.made)
    compare_fixed(comparison, vm.vcpus, registers, values, "after every attribute of the vGIC and the ITS")
    comparison.value("PSCI_VERSION after every attribute of the vGIC", version, vm.vcpu.get_reg(PSCI_VERSION))
    for vcpu in vm.vcpus:
        compare_view(comparison, vcpu, contract, values, f"on vCPU {vcpu.index} after the use of the vGIC")
    if contract.smccc_filter:
        left, _ = guests.exiting_call(vm.vcpu, Call(_FORWARDED))
        comparison.value("exit reason of a forwarded call", uapi.KVM_EXIT_HYPERCALL, left.reason)
    comparison.done()


@HELD
@pytest.mark.clause("EVENT-1", "EVENT-2", "LIMIT-1")
def test_same_interrupt(held: str, registers: tuple[Register, ...], make_vm: MakeVm, vgics: Vgics) -> None:
    """A first KVM_RUN that fails because two timers have one interrupt leaves the registers writable."""
    vm, comparison = make_vm(2), Comparison()
    vgics.set_up(vm)
    values, batch = fill(vm, registers, held), vm.batch()
    for timer in (0, 1):
        what, same = f"the interrupt of timer {timer}", struct.pack("<i", 20)
        batch.device_attr(what, vm.vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, _TIMER[0], timer, same)
    batch.run()
    comparison.error("KVM_RUN with one interrupt for two timers", errno.EINVAL, vm.vcpu.try_run())
    compare_open(comparison, vm.vcpus, registers, values, "after KVM_RUN failed")
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
