# SPDX-License-Identifier: GPL-2.0-only
"""VMs that are created, used and closed, more than a hundred times."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import KvmProgram, RegRead
from helpers.uapi import kvm as uapi
from suites.left_behind.growth import Meter
from suites.left_behind.refusals import RefusalPlace, refused_bitmaps

LIVES, RUNS = 150, 15
"""The number of VMs in all programs, and in one."""
_FEW_LIVES = 70
_BLANK = 7
"""The id of the vCPU that stays uninitialised."""


@dataclass(frozen=True)
class _Write:
    """A call that must give ``errno``, or a read that must give ``value``."""

    what: str
    call: Arg | RegRead
    errno: int = 0
    value: int = 0


class _Life:
    """Creates a VM, reads its reset values, changes everything that can be set, runs it if ``runs``, and closes it.

    ``other`` is the id of another vCPU.
    """

    def __init__(
        self, p: KvmProgram, kvm: Kvm, contract: Probe, registers: tuple[Register, ...], *, runs: bool,
        features: tuple[int, ...] = PSCI_0_2, other: int | None = None,
    ) -> None:  # fmt: skip
        self._p, self._contract, self._registers = p, contract, registers
        self.rows: list[_Write] = []
        vm = p.create_guest_vm(kvm.fd, kvm.vm_type, kvm.image)
        vcpu = p.create_guest_vcpu(vm.fd, 0, kvm.run_size, features)
        _use(p, vcpu.fd, features)
        self._vm, self.fd = vm.fd, vcpu.fd
        others = [p.create_vcpu(vm.fd, number) for number in (_BLANK, other) if number is not None]
        blank = others[0]
        for each in others[1:]:
            p.init_vcpu(each, p.prepare_init(vm.fd, features)[1])
            _use(p, each, features)
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
        for fd in (vm.fd, vcpu.fd):
            p.close(p.ioctl(fd, uapi.KVM_GET_STATS_FD))
        for each in others:
            p.close(each)
        p.close_vm(vm.fd, vm.memory, [(vcpu.fd, vcpu.run_address)], kvm.run_size)

    def _add(self, what: str, call: Arg | RegRead, error: int = 0, value: int = 0) -> None:
        self.rows.append(_Write(what, call, error, value))

    def _fresh(self) -> None:
        """Reads, and writes that only a new VM accepts."""
        p, contract = self._p, self._contract
        for register in self._registers:
            read = p.get_reg(self.fd, p.one_reg(register))
            self._add(f"{register.name} of a new VM", read, value=register.reset)
        self._psci = p.get_reg(self.fd, p.one_reg(PSCI_VERSION))
        p.set_reg(self.fd, p.one_reg(PSCI_VERSION, 0x10000))
        for register in self._registers:
            other = p.one_reg(register, register.mask & ~register.reset)
            self._add(f"a change of {register.name} of a new VM", p.set_reg(self.fd, other))
        if contract.smccc_filter:
            rule = p.filter_range(0x84000052, 1, uapi.KVM_SMCCC_FILTER_DENY)
            self._add("a filter for a new VM", p.call(self._vm, uapi.KVM_SET_DEVICE_ATTR, rule))
        if contract.pv_time:
            group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
            area = p.device_attr(group, attr, struct.pack("<Q", PV_TIME_IPA))
            self._add("a stolen-time address for a new VM", p.call(self.fd, uapi.KVM_SET_DEVICE_ATTR, area))

    def _locked(self) -> None:
        """Writes that are refused after the run."""
        for register in self._registers:
            for value in (register.reset, register.reset | register.beyond):
                done = self._p.set_reg(self.fd, self._p.one_reg(register, value))
                changed = EBUSY if value != register.mask & ~register.reset else 0
                error = EINVAL if value & register.beyond else changed
                self._add(f"{register.name} = {value:#x} after KVM_RUN", done, error)

    def compare(self, comparison: Comparison, answer: Answer) -> None:
        """Compares every VM. PSCI_VERSION must be the same in all of them."""
        for row in self.rows:
            call = row.call.done if isinstance(row.call, RegRead) else row.call
            errors = [result.errno if result.ran else -1 for result in answer.results[call.index]]
            wrong = next((turn for turn, error in enumerate(errors) if error != row.errno), 0)
            comparison.error(f"{row.what}, VM {wrong + 1} of {len(errors)}", row.errno, errors[wrong])
            if isinstance(row.call, RegRead):
                self._compare_values(comparison, row.what, answer, row.call, row.value)
        first = int.from_bytes(answer.results[self._psci.memory.index][0].data, "little")
        self._compare_values(comparison, "PSCI_VERSION of a new VM", answer, self._psci, first)

    def _compare_values(self, comparison: Comparison, what: str, answer: Answer, read: RegRead, value: int) -> None:
        values = [int.from_bytes(result.data, "little") for result in answer.results[read.memory.index]]
        wrong = next((turn for turn, each in enumerate(values) if each != value), 0)
        comparison.value(f"{what}, VM {wrong + 1} of {len(values)}", value, values[wrong])


_OPTIONAL = ((uapi.KVM_CAP_ARM_SVE, uapi.KVM_ARM_VCPU_SVE), (uapi.KVM_CAP_ARM_PMU_V3, uapi.KVM_ARM_VCPU_PMU_V3))


def _features(kvm: Kvm) -> tuple[int, ...]:
    """PSCI_0_2, and SVE and a PMU if the host has them."""
    return (*PSCI_0_2, *(feature for capability, feature in _OPTIONAL if kvm.check_extension(capability)))


def _use(p: KvmProgram, vcpu: Arg, features: tuple[int, ...]) -> None:
    """Finalises SVE, and initialises the PMU with a filter of its events, if the vCPU has them."""
    if uapi.KVM_ARM_VCPU_SVE in features:
        sve = p.structure(uapi.KVM_ARM_VCPU_SVE.to_bytes(4, "little"), "SVE")
        p.call(vcpu, uapi.KVM_ARM_VCPU_FINALIZE, sve)
    if uapi.KVM_ARM_VCPU_PMU_V3 in features:
        group, deny = uapi.KVM_ARM_VCPU_PMU_V3_CTRL, struct.pack("<HHB3x", 0x11, 1, 1)
        for attr, data in ((uapi.KVM_ARM_VCPU_PMU_V3_FILTER, deny), (uapi.KVM_ARM_VCPU_PMU_V3_INIT, b"")):
            p.call(vcpu, uapi.KVM_SET_DEVICE_ATTR, p.device_attr(group, attr, data))


@pytest.mark.clause("HISTORY-2")
def test_reset_values(
    kvm: Kvm, contract: Probe, registers: tuple[Register, ...], renew_deadline: Callable[[], float]
) -> None:
    """Each VM begins like the first one, although VMs before it, some at the same address, were changed and locked."""
    comparison = Comparison()
    for runs in [True, *[False] * (LIVES // RUNS), True]:
        renew_deadline()
        program = KvmProgram(deadline_ms=60_000)
        with program.concurrently() as stage, stage.thread(repeat=RUNS):
            life = _Life(program, kvm, contract, registers, runs=runs)
        life.compare(comparison, kvm.subject.run(program))
    comparison.done()


@pytest.mark.clause("LEFT-1", "LEFT-2")
@pytest.mark.parametrize("runs", [False, True], ids=["never_run", "run"])
def test_memory_of_closed_vms(
    runs: bool, kvm: Kvm, contract: Probe, registers: tuple[Register, ...], meter: Meter
) -> None:
    """Neither memory nor fds nor tasks grow with the number of VMs that were created, used and closed."""
    comparison, features = Comparison(), _features(kvm)
    largest = kvm.check_extension(uapi.KVM_CAP_MAX_VCPUS) - 1
    # A table of the VM's vCPUs has a size that depends on their ids.
    other = largest if largest > _BLANK else 1

    def lives(p: KvmProgram) -> None:
        _Life(p, kvm, contract, registers, runs=runs, features=features, other=other)

    def nothing(p: KvmProgram) -> None:
        p.ioctl(kvm.fd, uapi.KVM_CHECK_EXTENSION, uapi.KVM_CAP_STEAL_TIME)

    meter.compare(comparison, "creating, using and closing a VM", lives, nothing, few=_FEW_LIVES)
    comparison.done()
