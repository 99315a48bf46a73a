# SPDX-License-Identifier: GPL-2.0-only
"""Detects a kernel's dialect and features by its answers, never by its version."""

from __future__ import annotations

import errno

from helpers import guests
from helpers.batch import KvmError
from helpers.contract.features import Probe, is_bitmap_id, is_unknown_firmware
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.newer import LATEST_PSCI
from helpers.contract.registers import MAINLINE, NONE, RFC_V3, Dialect, Register
from helpers.discovery.kernel_files import kernel_file
from helpers.discovery.kvm_mode import is_protected
from helpers.discovery.newer import classify_registers
from helpers.kvm import Kvm, Vm
from helpers.smccc import SMCCC_1_1, Call, Conduit
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId

_SMCCC_VERSION = 0x80000000
_LONGEST_RELEASE = 200
_SMCCC_1_X = range(SMCCC_1_1, 0x20000)


def probe(kvm: Kvm) -> Probe:
    """The kernel's dialect and features. Raises KvmError or HarnessError if no VM can be created."""
    with kvm.create_vm() as vm:
        ids = vm.vcpu.reg_list()
        on_host = kvm.check_extension(uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP)
        capability = (on_host, vm.check_extension(uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP))
        dialect = _dialect(vm, ids, capability)
        present = tuple(r for r in dialect.registers if r.id in ids or _answers(vm, r))
        psci, _ = vm.vcpu.try_get_reg(PSCI_VERSION)
        # A kernel that announces either is tested for both.
        pv_time = _has_attr(vm, vm.vcpu.fd, uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA)
        pv_time = pv_time or vm.check_extension(uapi.KVM_CAP_STEAL_TIME) > 0
        smccc_filter = _has_attr(vm, vm.fd, uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER)
    listed = tuple(i for i in ids if is_bitmap_id(dialect, i))
    classified = classify_registers(kvm, dialect, present, listed)
    firmware = sorted({i for i in ids if is_unknown_firmware(dialect, i)})
    clock_source = kernel_file(kvm.subject, "/sys/devices/system/clocksource/clocksource0/current_clocksource")
    return Probe(
        dialect=dialect,
        present=tuple(each.register for each in classified),
        listed=listed,
        capability=capability,
        arch_counter="arch_sys_counter" in clock_source,
        pv_time=pv_time,
        smc=smccc_filter or _serves_smc(kvm),
        smccc_filter=smccc_filter,
        release=kernel_file(kvm.subject, "/proc/sys/kernel/osrelease")[:_LONGEST_RELEASE],
        psci=psci or LATEST_PSCI,
        firmware=tuple(RegisterId(f"FW_REG_{i & 0xFFFF}", i) for i in firmware),
        contradictions=tuple(wrong for each in classified for wrong in each.contradictions),
        late_vcpus=runs_late_vcpus(kvm),
    )


def _answers(vm: Vm, register: Register) -> bool:
    value, _ = vm.vcpu.try_get_reg(register)
    return value is not None


def _dialect(vm: Vm, ids: list[int], capability: tuple[int, int]) -> Dialect:
    """Mainline if one of its registers exists, because they have a range of their own.

    The RFC if FW_REG(5) exists or 207 is answered: mainline uses its other ids for something else (FW_REG(3) is
    WORKAROUND_3).
    """
    if any(is_bitmap_id(MAINLINE, i) for i in ids) or any(_answers(vm, r) for r in MAINLINE.registers):
        return MAINLINE
    if any(capability) or RFC_V3.registers[-1].id in ids or any(_answers(vm, r) for r in RFC_V3.registers[1:]):
        return RFC_V3
    return NONE


def _has_attr(vm: Vm, fd: int, group: int, attr: int) -> bool:
    return vm.try_device_attr(fd, uapi.KVM_HAS_DEVICE_ATTR, group, attr, b"") == 0


def _serves_smc(kvm: Kvm) -> bool:
    with kvm.create_vm() as vm:
        try:
            return guests.call(vm.vcpu, Call(_SMCCC_VERSION, conduit=Conduit.SMC)).x[0] in _SMCCC_1_X
        except KvmError:
            # The tests of SMC report the cause.
            return False


def runs_late_vcpus(kvm: Kvm) -> bool:
    """Protected KVM fixes the number of a VM's vCPUs at the first KVM_RUN (arch/arm64/kvm/hyp/nvhe/pkvm.c).

    Elsewhere an error of KVM_RUN is a bug, which the tests report.
    """
    with kvm.create_vm() as vm:
        vm.vcpu.immediate_exit()
        refused = vm.create_vcpu().immediate_exit() == errno.EINVAL
    return not refused or not is_protected(kvm)
