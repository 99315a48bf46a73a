# SPDX-License-Identifier: GPL-2.0-only
"""KVM_HAS_DEVICE_ATTR of the SMCCC filter and of the stolen-time address, at each point of a VM's life."""

from __future__ import annotations

import errno
import struct

import pytest

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import PSCI_0_2, Vm
from helpers.smccc import U64, Call
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.support.mp_state import init_again

_FILTER = (uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER)
_AREA = (uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA)
_HAS, _SET = uapi.KVM_HAS_DEVICE_ATTR, uapi.KVM_SET_DEVICE_ATTR
_Asked = list[tuple[str, int, Pending]]


def _ask(batch: Batch, vm: Vm, contract: Probe, when: str) -> _Asked:
    """KVM_HAS_DEVICE_ATTR of each attribute, and of one that does not exist, with pointers that it must not use."""
    places = [("stolen time", vcpu.fd, *_AREA) for vcpu in vm.vcpus] if contract.pv_time else []
    places += [("the filter", vm.fd, *_FILTER)] if contract.smccc_filter else []
    rows = [(what, fd, group, attr, 0) for what, fd, group, attr in places]
    rows += [(f"attribute 9 in the group of {what}", fd, group, 9, errno.ENXIO) for what, fd, group, _ in places]
    return [
        (f"KVM_HAS_DEVICE_ATTR of {what} {when}", error, batch.device_attr(what, fd, _HAS, group, attr, pointer))
        for what, fd, group, attr, error in rows
        for pointer in (0, U64)
    ]


@pytest.mark.clause("NEIGHBOUR-2")
def test_has_attributes(registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """The answer is the same in a new VM, after a SET, after an error, after each kind of run and another INIT."""
    if not (contract.pv_time or contract.smccc_filter):
        pytest.skip("not applicable, because this kernel has neither attribute (KVM_HAS_DEVICE_ATTR)")
    vm, comparison = make_vm(2), Comparison()
    batch = vm.batch()
    asked = _ask(batch, vm, contract, "in a new VM")
    for turn in ("once set", "once set twice"):
        if contract.pv_time:
            batch.device_attr("set", vm.vcpu.fd, _SET, *_AREA, struct.pack("<Q", PV_TIME_IPA))
        if contract.smccc_filter:
            batch.set_filter(vm.fd, 0x84000052, 1, uapi.KVM_SMCCC_FILTER_DENY)
        asked += _ask(batch, vm, contract, turn)
    batch.run_with_immediate_exit(vm.vcpu)
    asked += _ask(batch, vm, contract, "after KVM_RUN with immediate_exit")
    for vcpu in vm.vcpus:
        guests.put_calls(batch.program, vm.memory, [Call(0x80000000)])
        batch.run_vcpu(vcpu)
        asked += _ask(batch, vm, contract, f"after a run of vCPU {vcpu.index}")
    init_again(batch, vm.vcpu, PSCI_0_2)
    asked += _ask(batch, vm, contract, "after KVM_ARM_VCPU_INIT again")
    batch.run()
    for what, error, done in asked:
        comparison.error(what, error, done.errno)
    comparison.done()
