# SPDX-License-Identifier: GPL-2.0-only
"""Calls that KVM refuses because a vCPU is in KVM_RUN (Documentation/virt/kvm/devices/arm-vgic-v3.rst: EBUSY)."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import pytest

from helpers.batch import Pending
from helpers.contract.check import EBUSY, Comparison
from helpers.contract.registers import Register
from helpers.errors import NotMeasured
from helpers.kvm import Vm
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.run.runs import power_off
from suites.run.vgics import Vgics
from suites.support.held import compare_fixed, fill
from suites.support.run_signal import run_beside

_PAUSES_MS = (5, 50, 500, 2000)
"""Time after which the vCPU should be in KVM_RUN. A busy machine needs a longer pause."""
_CONTROLS = ((uapi.KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0), (uapi.KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0))
"""Groups and attributes: GICD_CTLR, and GICR_CTLR of vCPU 0."""


@dataclass(frozen=True)
class _Accesses:
    """KVM_RUN of a stopped vCPU that only a signal ends, and accesses to the vGIC meanwhile and after it."""

    run: Pending
    meanwhile: list[Pending]
    after: list[Pending]


def _access(vm: Vm, device: int, pause_ms: int) -> _Accesses:
    batch, meanwhile, after = vm.batch(), list[Pending](), list[Pending]()
    memory = batch.program.scratch(8)

    def read(into: list[Pending]) -> None:
        for group, attr in _CONTROLS:
            what = f"KVM_GET_DEVICE_ATTR of vGIC attribute {group}.{attr}"
            into.append(batch.device_attr(what, device, uapi.KVM_GET_DEVICE_ATTR, group, attr, memory))

    def read_twice() -> None:
        read(meanwhile)
        read(meanwhile)

    run = run_beside(batch, vm.vcpu, pause_ms, read_twice)
    read(after)
    batch.run()
    return _Accesses(run, meanwhile, after)


@pytest.mark.clause("LEFT-3", "EVENT-1", "EVENT-2")
def test_busy(registers: tuple[Register, ...], make_vm: MakeVm, vgics: Vgics) -> None:
    """Refused accesses to the vGIC's registers leave no lock held, and change no bitmap register."""
    vm, comparison = make_vm(2), Comparison()
    vgics.set_up(vm)
    values = fill(vm, registers, "empty")
    power_off(vm.vcpu)
    for pause_ms in _PAUSES_MS:
        made = _access(vm, vgics.made[-1], pause_ms)
        if all(each.errno == EBUSY for each in made.meanwhile):
            break
    else:
        raise NotMeasured(
            f"the vGIC's registers could be read {_PAUSES_MS[-1]} ms after KVM_RUN of a stopped vCPU began"
        )
    comparison.error("KVM_RUN of a stopped vCPU, until a signal", errno.EINTR, made.run.errno)
    for each in made.after:
        comparison.error(f"{each.what} after KVM_RUN", 0, each.errno)
    comparison.done()
    compare_fixed(comparison, vm.vcpus, registers, values, "after refused accesses to the vGIC")
    comparison.done()
