# SPDX-License-Identifier: GPL-2.0-only
"""The life of a VM: it must begin with reset values, and ends with other ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import KvmProgram, RegRead
from helpers.uapi import kvm as uapi
from suites.events.events import EventPlace
from suites.events.table import EVENTS
from suites.left_behind.refusals import RefusalPlace, refused_bitmaps
from suites.support.features import add_completion

_LONG_EVENTS = ("check_extension", "enable_cap_0", "enable_cap_on_vcpu", "refused_bitmaps", "same_bitmaps")
"""Hundreds of calls. What they leave behind shows in other tests, or in the calls of other events."""
_BLANK = 7
"""The id of the vCPU that stays uninitialised."""
_OPTIONAL = ((uapi.KVM_CAP_ARM_SVE, uapi.KVM_ARM_VCPU_SVE), (uapi.KVM_CAP_ARM_PMU_V3, uapi.KVM_ARM_VCPU_PMU_V3))


def optional_features(kvm: Kvm) -> tuple[int, ...]:
    """PSCI_0_2, and SVE and a PMU if the host has them."""
    return (*PSCI_0_2, *(feature for capability, feature in _OPTIONAL if kvm.check_extension(capability)))


def largest_id(kvm: Kvm) -> int:
    """The largest id of a vCPU that a VM can have, or 1. The size of a table of a VM's vCPUs depends on their ids."""
    largest = kvm.check_extension(uapi.KVM_CAP_MAX_VCPUS) - 1
    return largest if largest > _BLANK else 1


def _complete(p: KvmProgram, vcpu: int | Arg, features: tuple[int, ...]) -> None:
    """Gives a PMU a filter of its events, and completes the vCPU."""
    if uapi.KVM_ARM_VCPU_PMU_V3 in features:
        deny = struct.pack("<HHB3x", 0x11, 1, 1)
        rule = p.device_attr(uapi.KVM_ARM_VCPU_PMU_V3_CTRL, uapi.KVM_ARM_VCPU_PMU_V3_FILTER, deny)
        p.call(vcpu, uapi.KVM_SET_DEVICE_ATTR, rule)
    add_completion(p, vcpu, features)


def disturbed_life(p: KvmProgram, kvm: Kvm, registers: tuple[Register, ...]) -> None:
    """Creates a VM, in which events of user space happen that do not run it, and closes it."""
    vm = p.create_guest_vm(kvm.fd, kvm.vm_type, kvm.image)
    vcpus = [p.create_guest_vcpu(vm.fd, number, kvm.run_size, PSCI_0_2) for number in (0, 1)]
    place = EventPlace(
        kvm=kvm.fd, vm_type=kvm.vm_type, vm=vm.fd, vcpu=vcpus[0].fd, vcpu_id=0, other=vcpus[1].fd, other_id=1,
        memory=vm.memory, run_address=vcpus[0].run_address, run_size=kvm.run_size, features=PSCI_0_2,
        registers=registers, values={r.name: r.reset for r in registers}, ids=(),
    )  # fmt: skip
    for event in EVENTS:
        if not event.runs and event.name not in _LONG_EVENTS:
            event.does(p, place)
    p.close_vm(vm.fd, vm.memory, [(vcpu.fd, vcpu.run_address) for vcpu in vcpus], kvm.run_size)


@dataclass(frozen=True)
class _Write:
    """A call that must give ``errno``, or a read that must give ``value``."""

    what: str
    call: Arg | RegRead
    errno: int = 0
    value: int = 0


class Life:
    """Creates a VM, reads its reset values, changes everything that can be set, and runs it if ``runs``.

    ``name`` is for a VM that is not in a repeated thread. ``other`` is the id of another initialised vCPU.
    """

    def __init__(
        self,
        p: KvmProgram,
        kvm: Kvm,
        contract: Probe,
        registers: tuple[Register, ...],
        *,
        runs: bool,
        name: str = "",
        features: tuple[int, ...] = PSCI_0_2,
        other: int | None = None,
    ) -> None:
        self._p, self._kvm, self._contract, self._registers = p, kvm, contract, registers
        self.rows: list[_Write] = []
        self._name = name
        self._vm = vm = p.create_guest_vm(kvm.fd, kvm.vm_type, kvm.image)
        self._vcpu = vcpu = p.create_guest_vcpu(vm.fd, 0, kvm.run_size, features)
        _complete(p, vcpu.fd, features)
        blank = p.create_vcpu(vm.fd, _BLANK)
        self._others = [blank]
        if other is not None:
            self._others.append(p.create_vcpu(vm.fd, other))
            p.init_vcpu(self._others[1], p.prepare_init(vm.fd, features)[1])
            _complete(p, self._others[1], features)
        self._add("KVM_CREATE_VCPU", vcpu.fd)
        self._fresh()
        for locked in (False, True)[: 1 + runs]:
            values = {r.name: r.mask & ~r.reset for r in registers}
            place = RefusalPlace(kvm.fd, vm.fd, vcpu.fd, vcpu.fd, blank, blank, registers, values, locked)
            for call in refused_bitmaps(p, place):
                call.make(p)
            if runs and not locked:
                p.run_with_immediate_exit(vcpu.fd, vcpu.run_address)
        if runs:
            self._locked()

    def close(self) -> None:
        """Opens and closes statistics, and closes the VM."""
        for fd in (self._vm.fd, self._vcpu.fd):
            self._p.close(self._p.ioctl(fd, uapi.KVM_GET_STATS_FD))
        for other in self._others:
            self._p.close(other)
        vcpus = [(self._vcpu.fd, self._vcpu.run_address)]
        self._p.close_vm(self._vm.fd, self._vm.memory, vcpus, self._kvm.run_size)

    def _add(self, what: str, call: Arg | RegRead, error: int = 0, value: int = 0) -> None:
        self.rows.append(_Write(what, call, error, value))

    def _fresh(self) -> None:
        """Reads, and writes that only a new VM accepts."""
        p, contract = self._p, self._contract
        for register in self._registers:
            read = p.get_reg(self._vcpu.fd, p.one_reg(register))
            self._add(f"{register.name} of a new VM", read, value=register.reset)
        self._psci = p.get_reg(self._vcpu.fd, p.one_reg(PSCI_VERSION))
        p.set_reg(self._vcpu.fd, p.one_reg(PSCI_VERSION, 0x10000))
        for register in self._registers:
            other = p.one_reg(register, register.mask & ~register.reset)
            self._add(f"a change of {register.name} of a new VM", p.set_reg(self._vcpu.fd, other))
        if contract.smccc_filter:
            rule = p.filter_range(0x84000052, 1, uapi.KVM_SMCCC_FILTER_DENY)
            self._add("a filter for a new VM", p.call(self._vm.fd, uapi.KVM_SET_DEVICE_ATTR, rule))
        if contract.pv_time:
            group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
            area = p.device_attr(group, attr, struct.pack("<Q", PV_TIME_IPA))
            self._add("a stolen-time address for a new VM", p.call(self._vcpu.fd, uapi.KVM_SET_DEVICE_ATTR, area))

    def _locked(self) -> None:
        """Writes that are refused after the run."""
        for register in self._registers:
            for value in (register.reset, register.reset | register.beyond):
                done = self._p.set_reg(self._vcpu.fd, self._p.one_reg(register, value))
                changed = EBUSY if value != register.mask & ~register.reset else 0
                error = EINVAL if value & register.beyond else changed
                self._add(f"{register.name} = {value:#x} after KVM_RUN", done, error)

    def compare(self, comparison: Comparison, answer: Answer, *, psci: int | None = None) -> None:
        """Compares every VM. PSCI_VERSION must be ``psci``, or that of the first VM."""
        for row in self.rows:
            call = row.call.done if isinstance(row.call, RegRead) else row.call
            errors = [result.errno if result.ran else -1 for result in answer.results[call.index]]
            wrong = next((turn for turn, error in enumerate(errors) if error != row.errno), 0)
            comparison.error(f"{row.what}, {self._which(wrong, errors)}", row.errno, errors[wrong])
            if isinstance(row.call, RegRead):
                self._compare_values(comparison, row.what, answer, row.call, row.value)
        version = self.psci_version(answer) if psci is None else psci
        self._compare_values(comparison, "PSCI_VERSION of a new VM", answer, self._psci, version)

    def psci_version(self, answer: Answer) -> int:
        """PSCI_VERSION of the first VM."""
        return self._psci.values(answer)[0]

    def _compare_values(self, comparison: Comparison, what: str, answer: Answer, read: RegRead, value: int) -> None:
        values = read.values(answer)
        wrong = next((turn for turn, each in enumerate(values) if each != value), 0)
        comparison.value(f"{what}, {self._which(wrong, values)}", value, values[wrong])

    def _which(self, turn: int, all_turns: Sequence[int]) -> str:
        return self._name or f"VM {turn + 1} of {len(all_turns)}"
