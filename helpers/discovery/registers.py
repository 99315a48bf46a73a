# SPDX-License-Identifier: GPL-2.0-only
"""The values of the registers in a fresh VM, and the values that they accept: for reports, not for a verdict."""

from __future__ import annotations

from helpers.contract.features import Probe
from helpers.contract.neighbours import PSCI_0_1, PSCI_0_2, PSCI_1_0, PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.kvm import Kvm
from helpers.results.records import FirmwareInfo, RegisterInfo
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from helpers.uapi.system_registers import identifies_processor, vcpu_register_name

_PSCI_VERSIONS = (PSCI_0_1, PSCI_0_2, *(major + minor for major in (PSCI_1_0, 2 * PSCI_1_0) for minor in range(16)))
_WORKAROUND_LEVELS = tuple(range(0x20))
_NOT_OTHERS = (uapi.KVM_REG_ARM_CORE, uapi.KVM_REG_ARM_FW, uapi.KVM_REG_ARM_FW_FEAT_BMAP)


def survey(kvm: Kvm, probe: Probe) -> tuple[RegisterInfo, ...]:
    """Reads and writes every present register in one round trip. Raises KvmError if no VM can be created."""
    with kvm.create_vm() as vm:
        batch = vm.batch()
        reads = [batch.get(vm.vcpu, register) for register in probe.present]
        writes = [[batch.set(vm.vcpu, register, 1 << bit) for bit in range(64)] for register in probe.present]
        batch.run()
    masks = [sum(1 << bit for bit, done in enumerate(each) if not done.errno) for each in writes]
    return tuple(
        RegisterInfo(register.name, register.id, register.bits, read.value, supported)
        for register, read, supported in zip(probe.present, reads, masks, strict=True)
    )


def survey_firmware(kvm: Kvm, probe: Probe) -> tuple[FirmwareInfo, ...]:
    """Reads and writes PSCI_VERSION and the workaround registers. Raises KvmError if no VM can be created."""
    bitmaps = {register.id for register in probe.dialect.registers}
    candidates = [(PSCI_VERSION, _PSCI_VERSIONS), *((w.register, _WORKAROUND_LEVELS) for w in WORKAROUND_REGISTERS)]
    with kvm.create_vm() as vm:
        listed = set(vm.vcpu.reg_list())
        present = [each for each in candidates if each[0].id in listed - bitmaps]
        batch = vm.batch()
        reads = [batch.get(vm.vcpu, register) for register, _ in present]
        writes = [[batch.set(vm.vcpu, register, value) for value in values] for register, values in present]
        batch.run()
    return tuple(
        FirmwareInfo(
            register.name,
            register.id,
            read.value,
            tuple(value for value, done in zip(values, each, strict=True) if not done.errno),
        )
        for (register, values), read, each in zip(present, reads, writes, strict=True)
    )


def survey_others(kvm: Kvm) -> tuple[tuple[str, int | None], ...]:
    """Names and values for SubjectInfo.other_registers. Raises KvmError if no VM can be created."""
    with kvm.create_vm() as vm:
        ids = [each for each in vm.vcpu.reg_list() if each & 0x0FFF_0000 not in _NOT_OTHERS]
        # A VM is saved after it has run, and the first KVM_RUN can change ID_AA64PFR0_EL1 (kvm_finalize_sys_regs).
        vm.vcpu.immediate_exit()
        batch = vm.batch()
        # CCSIDR_EL1[n] has 32 bits; the rest of the memory stays 0.
        reads = {each: batch.get(vm.vcpu, RegisterId("", each)) for each in ids if identifies_processor(each)}
        batch.run()
    return tuple((vcpu_register_name(each), reads[each].value if each in reads else None) for each in ids)
