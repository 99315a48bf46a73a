# SPDX-License-Identifier: GPL-2.0-only
"""Saves a VM and restores it, as a VMM does: every register that KVM lists, on every vCPU, and the memory."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from helpers.contract.check import Comparison
from helpers.contract.registers import Register
from helpers.executor.program import Program
from helpers.guest_layout import MEMORY_SIZE
from helpers.kvm import Vcpu, Vm
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId, error_name

ORDERS = ("list_order", "reversed")


@dataclass(frozen=True)
class Saved:
    """The memory, and the id and the bytes of each vCPU's registers in the kernel's order."""

    memory: bytes
    vcpus: tuple[tuple[tuple[int, bytes], ...], ...]

    def value(self, register_id: int) -> int | None:
        """A register of the first vCPU; None if the source does not have it."""
        found = next((raw for number, raw in self.vcpus[0] if number == register_id), None)
        return None if found is None else int.from_bytes(found, "little")

    def replaced(self, values: dict[int, int]) -> Saved:
        """A copy with other values for some u64 registers, on every vCPU. Ids that are not in it come last."""
        return Saved(self.memory, tuple(_replaced(vcpu, values) for vcpu in self.vcpus))


def _replaced(vcpu: tuple[tuple[int, bytes], ...], values: dict[int, int]) -> tuple[tuple[int, bytes], ...]:
    raw = {number: struct.pack("<Q", value) for number, value in values.items()}
    return tuple((dict(vcpu) | raw).items())


def _size(register_id: int) -> int:
    """The register's size in bytes."""
    return 1 << ((register_id & uapi.KVM_REG_SIZE_MASK) >> uapi.KVM_REG_SIZE_SHIFT)


def _register(register_id: int) -> RegisterId:
    return RegisterId(f"{register_id:#x}", register_id)


def save(vm: Vm) -> Saved:
    """The memory and all registers, except for listed ones that cannot be read. Raises KvmError."""
    memory = Program()
    whole = memory.peek(vm.memory, MEMORY_SIZE)
    return Saved(vm.kvm.subject.run(memory)[whole].data, tuple(_save(vcpu) for vcpu in vm.vcpus))


def _save(vcpu: Vcpu) -> tuple[tuple[int, bytes], ...]:
    program, ids = KvmProgram(), vcpu.reg_list()
    reads = [program.get_reg(vcpu.fd, program.one_reg(_register(number), bytes(_size(number)))) for number in ids]
    answer = vcpu.vm.kvm.subject.run(program)
    return tuple((read.one_reg.register.id, answer[read.done].data) for read in reads if not read.errno(answer))


def restore(vm: Vm, saved: Saved, order: str = "list_order") -> list[dict[int, int]]:
    """Restores the memory and every register, also after an error. Returns the errnos by id for each vCPU."""
    memory = Program()
    memory.poke(vm.memory, saved.memory)
    vm.kvm.subject.run(memory)
    return [_restore(vcpu, state, order) for vcpu, state in zip(vm.vcpus, saved.vcpus, strict=True)]


def compare_restored(
    comparison: Comparison, what: str, wanted: int, errors: Mapping[int, int], register: Register
) -> None:
    """Compares the errno of a restored register. A register that the source did not list was not restored."""
    if register.id in errors:
        comparison.error(what, wanted, errors[register.id])
    else:
        comparison.that(False, what, error_name(wanted), "KVM_GET_REG_LIST of the source does not list it")


def _restore(vcpu: Vcpu, state: tuple[tuple[int, bytes], ...], order: str) -> dict[int, int]:
    program = KvmProgram()
    ordered = state if order == "list_order" else reversed(state)
    made = [(number, program.set_reg(vcpu.fd, program.one_reg(_register(number), raw))) for number, raw in ordered]
    answer = vcpu.vm.kvm.subject.run(program)
    return {number: answer[done].errno for number, done in made}
