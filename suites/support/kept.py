# SPDX-License-Identifier: GPL-2.0-only
"""The registers that no call changes: x18 to x30, the stack pointers and the vector registers."""

from __future__ import annotations

from helpers.contract.check import Comparison
from helpers.kvm import Vm
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId

# The guest uses x24 to x29 between the calls.
_UNUSED = (18, 19, 20, 21, 22, 23, 30)
KEPT = (
    *(RegisterId(f"x{n}", uapi.core_x(n)) for n in _UNUSED),
    RegisterId("sp", uapi.KVM_REG_ARM_CORE_SP),
    RegisterId("sp_el1", uapi.KVM_REG_ARM_CORE_SP_EL1),
    *(RegisterId(f"v{n}", uapi.core_v(n)) for n in range(32)),
)


def _width(register: RegisterId) -> int:
    """The register's size in bytes."""
    return 16 if register.name.startswith("v") else 8


def fill_kept(vm: Vm) -> list[int]:
    """Sets each register to a different value, and returns the values. Raises KvmError."""
    batch, values, done = vm.batch(), [], []
    for n, register in enumerate(KEPT, 1):
        data = bytes((n * 7 + i) & 0xFF for i in range(_width(register)))
        values.append(int.from_bytes(data, "little"))
        one_reg = batch.program.one_reg(register, data)
        done.append(batch.pending(one_reg, batch.program.set_reg(vm.vcpu.fd, one_reg)))
    batch.run()
    for each in done:
        each.ok()
    return values


def compare_kept(comparison: Comparison, vm: Vm, values: list[int], when: str) -> None:
    """Compares the registers with what fill_kept() set. Raises KvmError."""
    batch = vm.batch()
    reads = [batch.get_into(vm.vcpu, batch.program.one_reg(r, bytes(_width(r)))) for r in KEPT]
    batch.run()
    for register, value, read in zip(KEPT, values, reads, strict=True):
        comparison.value(f"{register.name} {when}", value, read.value)
