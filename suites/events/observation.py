# SPDX-License-Identifier: GPL-2.0-only
"""Compares everything that the contract defines about a VM with the expected state."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.executor.program import Answer
from helpers.kvm import Vcpu, Vm
from helpers.kvm_program import RegList
from helpers.smccc import NOT_SUPPORTED, U64
from helpers.uapi import kvm as uapi
from suites.events.scene import DENIED, Scene


@dataclass(frozen=True)
class _Expected:
    """A call in the batch, with its expected errno and, for a read, the expected value."""

    what: str
    call: Pending
    errno: int
    value: int | None = None


def _reads(batch: Batch, vm: Vm, registers: tuple[Register, ...], values: dict[str, int], of: str) -> list[_Expected]:
    return [
        _Expected(f"{r.name} through vCPU {vcpu.index}{of}", batch.get(vcpu, r), 0, values[r.name])
        for vcpu in vm.vcpus
        for r in registers
    ]


def _writes(batch: Batch, vcpu: Vcpu, register: Register, held: int, locked: bool) -> list[_Expected]:
    """Writes the same value, another one, an unsupported bit and the first value again. Reads after two of them."""
    other, name, through = held ^ register.mask, register.name, f"through vCPU {vcpu.index}"
    # A register without bits has no other value.
    refused = EBUSY if locked and other != held else 0

    def write(value: int, error: int) -> _Expected:
        call = batch.set(vcpu, register, value)
        return _Expected(f"write {name} = {value:#x} from {held:#x} {through}", call, error)

    def read(when: str, value: int) -> _Expected:
        return _Expected(f"{name} after {when} {through}", batch.get(vcpu, register), 0, value)

    return [
        write(held, 0),
        write(other, refused),
        read("another value", held if refused else other),
        write(held | register.beyond, EINVAL),
        write(held, 0),
        read("the writes", held),
    ]


def _neighbours(batch: Batch, scene: Scene) -> list[_Expected]:
    """PSCI_VERSION, the stolen-time address, and the filter, whose function no other filter may contain."""
    vm, group, attr = scene.vm, uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
    rows = [
        _Expected(f"PSCI_VERSION through vCPU {vcpu.index}", batch.get(vcpu, PSCI_VERSION), 0, scene.psci)
        for vcpu in vm.vcpus
    ]
    for vcpu in vm.vcpus if scene.areas else ():
        memory = batch.program.scratch(8)
        done = batch.program.call(vcpu.fd, uapi.KVM_GET_DEVICE_ATTR, batch.program.device_attr(group, attr, memory))
        area = batch.pending("KVM_ARM_VCPU_PVTIME_IPA", done, batch.program.peek(memory, 8))
        rows.append(
            _Expected(f"KVM_ARM_VCPU_PVTIME_IPA of vCPU {vcpu.index}", area, 0, scene.areas.get(vcpu.index, U64))
        )
    if scene.contract.smccc_filter:
        taken = batch.set_filter(vm.fd, DENIED, 1, uapi.KVM_SMCCC_FILTER_DENY)
        rows.append(_Expected("a filter for a function that has one", taken, EBUSY if scene.locked else errno.EEXIST))
    return rows


@dataclass(frozen=True)
class StateView:
    """An observation in a batch. ``ids`` is the answer that KVM_GET_REG_LIST must give."""

    when: str
    rows: tuple[_Expected, ...]
    listing: RegList
    ids: tuple[int, ...]

    def compare(self, comparison: Comparison, answer: Answer) -> None:
        """Compares the results. The batch must have run."""
        for row in self.rows:
            what = f"{row.what}, {self.when}"
            comparison.error(what, row.errno, row.call.errno)
            if row.value is not None:
                comparison.value(what, row.value, row.call.value)
        count, ids = self.listing.listed(answer)
        same = not answer[self.listing.done].errno and ids[:count] == self.ids
        wanted, actual = f"the same {len(self.ids)} ids", f"{count} ids, or an error"
        comparison.that(same, f"KVM_GET_REG_LIST, {self.when}", wanted, actual)


def observe_state(batch: Batch, scene: Scene, when: str) -> StateView:
    """Appends reads and writes of the registers, and reads of their neighbours. Restores the values."""
    vm = scene.vm
    rows = _reads(batch, vm, scene.registers, scene.values, "")
    for i, register in enumerate(scene.registers):
        for vcpu in {
            vm.vcpus[i % len(vm.vcpus)].index: vm.vcpus[i % len(vm.vcpus)],
            vm.vcpus[-1].index: vm.vcpus[-1],
        }.values():
            rows += _writes(batch, vcpu, register, scene.values[register.name], scene.locked)
    rows += _neighbours(batch, scene)
    if scene.twin is not None:
        rows += _reads(batch, scene.twin, scene.registers, scene.twin_values, " of the other VM")
        for register in scene.registers:
            rows += _writes(batch, scene.twin.vcpu, register, scene.twin_values[register.name], scene.state.twin_ran)
    listing = batch.program.reg_list(vm.vcpu.fd, len(scene.ids) + 16)
    return StateView(when, tuple(rows), listing, scene.ids)


def compare_state(comparison: Comparison, scene: Scene, when: str) -> None:
    """Observes in one round trip, and compares. Raises KvmError."""
    batch = scene.vm.batch()
    view = observe_state(batch, scene, when)
    view.compare(comparison, batch.run())


def compare_guests(comparison: Comparison, scene: Scene, when: str) -> None:
    """Every vCPU's guest makes every call whose answer is defined, in one round trip. Raises KvmError."""
    batch, expected = scene.vm.batch(), []
    for vcpu in scene.vm.vcpus:
        rows = scene.expected_view(vcpu)
        for start in range(0, len(rows), guests.MAX_CALLS):
            part = rows[start : start + guests.MAX_CALLS]
            calls = [call for _, call, _ in part]
            guests.put_calls(batch.program, scene.vm.memory, calls)
            run = batch.run_vcpu(vcpu)
            expected.append((vcpu, part, run, guests.take_calls(batch.program, run.ref, scene.vm.memory, calls)))
    answer = batch.run()
    for vcpu, part, run, mailbox in expected:
        run.ok()
        for (form, call, x), result in zip(part, guests.read(answer[mailbox].data), strict=True):
            what = f"{form.name} {call.function:#x} on vCPU {vcpu.index}, {when}"
            if x is not None:
                comparison.x(what, x, result.x0_3)
            else:
                answered = result.x0_3[0] != NOT_SUPPORTED
                comparison.that(answered, what, "an answer", "NOT_SUPPORTED")
    scene.locked = True
