# SPDX-License-Identifier: GPL-2.0-only
"""KVM_CAP_ARM_HVC_FW_REG_BMAP can be read and not enabled."""

from __future__ import annotations

import pytest

from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.uapi import kvm as uapi
from suites.access.conftest import MakeMixed

_ONES = (1 << 64) - 1


@pytest.mark.clause("ENABLE-1")
@pytest.mark.parametrize(
    ("flags", "args"),
    [(0, (0, 0, 0, 0)), (0, (1, 0, 0, 0)), (0, (_ONES,) * 4), (1, (0, 0, 0, 0))],
    ids=["zero", "arg0=1", "all_ones", "flags=1"],
)
@pytest.mark.parametrize("on", ["vm_fd", "vcpu", "vcpu_not_initialised", "dev_kvm"])
def test_enable_cap(
    on: str, flags: int, args: tuple[int, ...], make_mixed: MakeMixed, contract: Probe, registers: tuple[Register, ...]
) -> None:
    """KVM_ENABLE_CAP gives EINVAL before and after KVM_RUN. The registers and the capability's value do not change."""
    mixed = make_mixed()
    vm, comparison = mixed.vm, Comparison()
    fds = {"vm_fd": vm.fd, "vcpu": vm.vcpu.fd, "vcpu_not_initialised": mixed.blank.fd, "dev_kvm": vm.kvm.fd}
    held = vm.vcpu.get_regs(registers)
    for when in ("before", "after"):
        batch = vm.batch()
        request = batch.program.capability_request(uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP, flags, args)
        done = batch.call("KVM_ENABLE_CAP", fds[on], uapi.KVM_ENABLE_CAP, request)
        batch.run()
        comparison.error(f"KVM_ENABLE_CAP(207) on {on} {when} KVM_RUN", EINVAL, done.errno)
        for register, was, now in zip(registers, held, vm.vcpu.get_regs(registers), strict=True):
            comparison.value(f"{register.name} after it", was, now)
        number = vm.check_extension(uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP)
        comparison.value("KVM_CHECK_EXTENSION(207) after it", contract.capability[1], number)
        vm.vcpu.immediate_exit()
    comparison.done()
