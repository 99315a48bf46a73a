# SPDX-License-Identifier: GPL-2.0-only
"""Each bitmap register's value in a fresh VM and its supported bits: for the report, not for a verdict."""

from __future__ import annotations

from helpers.contract.features import Probe
from helpers.kvm import Kvm
from helpers.results.records import RegisterInfo


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
