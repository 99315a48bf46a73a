# SPDX-License-Identifier: GPL-2.0-only
"""PSCI_VERSION, and PSCI's calls under every bitmap and every version."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from helpers import guests
from helpers.contract.check import EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED
from helpers.contract.neighbours import (
    INTERNAL_FAILURE,
    INVALID_PARAMETERS,
    PSCI_0_1,
    PSCI_0_2,
    PSCI_1_0,
    PSCI_CALLS,
    PSCI_VERSION,
    accepts_version,
)  # fmt: skip
from helpers.contract.registers import Register
from helpers.guest_layout import MEMORY_IPA
from helpers.kvm import Kvm, Vcpu, Vm
from helpers.smccc import NOT_SUPPORTED, Call
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.neighbours.interrupt import raise_interrupt
from suites.support.calls import CONDUITS, GARBAGE, REGISTER_LEVELS, Form
from suites.support.view import compare_view

VERSIONS = (
    0, PSCI_0_1, PSCI_0_2, 3, 0xFFFF, *(PSCI_1_0 | minor for minor in range(8)), 0x1FFFF, 0x20000, 0x20001, 0x80010000,
    0xFFFFFFFF, 1 << 32 | PSCI_0_2, 1 << 32 | PSCI_1_0, 1 << 63 | PSCI_1_0, (1 << 64) - 1,
)  # fmt: skip
"""Published versions, possible later ones, and values near them."""
RAN = pytest.mark.parametrize("ran", [False, True], ids=["before_run", "after_run"])


def _run(vcpu: Vcpu) -> None:
    guests.call(vcpu, Call(0x80000000))


def _try_versions(vcpu: Vcpu, start: int, accepted: list[int]) -> None:
    """Writes every version, and asserts the errno and the value that reads back."""
    batch, made = vcpu.vm.batch(), []
    for version in VERSIONS:
        batch.set(vcpu, PSCI_VERSION, start)
        made.append((version, batch.set(vcpu, PSCI_VERSION, version), batch.get(vcpu, PSCI_VERSION)))
    batch.run()
    comparison = Comparison()
    for version, done, after in made:
        taken = version in accepted
        comparison.error(f"PSCI_VERSION = {version:#x} from {start:#x}", 0 if taken else EINVAL, done.errno)
        comparison.value(f"PSCI_VERSION after {version:#x}", version if taken else start, after.value)
    comparison.done()


@pytest.mark.clause("PSCI-1", "PSCI-3")
@RAN
def test_versions(ran: bool, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """The reset value is the latest version. An accepted version reads back. A refused one changes nothing."""
    vcpu = make_vm().vcpu
    if ran:
        _run(vcpu)
    latest = vcpu.get_reg(PSCI_VERSION)
    assert latest >= PSCI_1_0, f"PSCI_VERSION of a fresh VM with PSCI_0_2: expected 1.0 or later, actual {latest:#x}"
    _try_versions(vcpu, PSCI_0_2, [v for v in VERSIONS if accepts_version(v, latest)])


@pytest.mark.clause("PSCI-2", "PSCI-3")
@RAN
def test_without_psci_0_2(ran: bool, registers: tuple[Register, ...], kvm: Kvm) -> None:
    """A VM without PSCI_0_2 accepts version 0.1 and no other."""
    with kvm.create_vm(features=()) as vm:
        if ran:
            _run(vm.vcpu)
        _try_versions(vm.vcpu, PSCI_0_1, [PSCI_0_1])


@pytest.mark.clause("PSCI-3")
@RAN
@pytest.mark.parametrize("through", [0, 1], ids=["set_on_vcpu0", "set_on_vcpu1"])
def test_whole_vm(through: int, ran: bool, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """A version written through one vCPU is the version of every vCPU and guest of the VM, and of no other VM."""
    vm, other, comparison = make_vm(2), make_vm(), Comparison()
    latest = other.vcpu.get_reg(PSCI_VERSION)
    for version in (v for v in VERSIONS if accepts_version(v, latest)):
        if ran:
            _run(vm.vcpu)
        vm.vcpus[through].set_reg(PSCI_VERSION, version)
        for vcpu in vm.vcpus:
            comparison.value(f"PSCI_VERSION through vCPU {vcpu.index}", version, vcpu.get_reg(PSCI_VERSION))
            seen = guests.call(vcpu, Call(0x84000000, GARBAGE)).x0_3
            comparison.x(f"PSCI_VERSION called on vCPU {vcpu.index}", (version, 0, 0, 0), seen)
        comparison.value("PSCI_VERSION of another VM", latest, other.vcpu.get_reg(PSCI_VERSION))
    comparison.done()


@pytest.mark.clause("PSCI-3")
def test_outlives_init(registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """KVM_ARM_VCPU_INIT does not change the version, and a vCPU created later has it."""
    vm, comparison = make_vm(), Comparison()
    vm.vcpu.set_reg(PSCI_VERSION, PSCI_0_2)
    comparison.error("KVM_ARM_VCPU_INIT again", 0, vm.vcpu.try_init())
    comparison.value("PSCI_VERSION after it", PSCI_0_2, vm.vcpu.get_reg(PSCI_VERSION))
    comparison.value("PSCI_VERSION of a vCPU created later", PSCI_0_2, vm.create_vcpu().get_reg(PSCI_VERSION))
    comparison.done()


def _psci_vm(kvm: Kvm) -> Vm:
    """A VM with two vCPUs, the second one powered off."""
    vm = kvm.create_vm()
    vm.create_vcpu((uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_POWER_OFF))
    return vm


def _psci_calls(c: Comparison, vm: Vm, version: int, form: Form, smc: bool, when: str) -> None:
    """Compares the answer to every call of PSCI_CALLS."""
    defined = [f for f in PSCI_CALLS if version <= f.until]
    calls = [Call(f.id, (*f.args, *GARBAGE[len(f.args) :]), form.conduit) for f in defined]
    for function, call, result in zip(defined, calls, guests.calls(vm.vcpu, calls), strict=True):
        served = (function.answer(version), 0, 0, 0)
        expected = served if form.served(smc) else (NOT_SUPPORTED, *call.registers[1:4])
        c.x(f"{form.name} {function.name} ({call.function:#x}), PSCI {version:#x}, {when}", expected, result.x0_3)


@pytest.mark.clause("PSCI-4")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_calls_under_bitmaps(
    level: str, form: Form, kvm: Kvm, register: Register, registers: tuple[Register, ...], contract: Probe
) -> None:
    """The answers are the same under every bitmap of a register, with the others full or empty."""
    comparison = Comparison()
    for value in register.subsets():
        with _psci_vm(kvm) as vm:
            vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
            vm.vcpu.set_reg(register, value)
            when = f"{register.name} = {value:#x}, the others {level}"
            _psci_calls(comparison, vm, vm.vcpu.get_reg(PSCI_VERSION), form, contract.smc, when)
    comparison.done()


@pytest.mark.clause("PSCI-4")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_calls_of_each_version(
    level: str, form: Form, kvm: Kvm, registers: tuple[Register, ...], contract: Probe
) -> None:
    """Each version has its calls: 0.2 has no PSCI_FEATURES, and later versions have more calls."""
    comparison = Comparison()
    with _psci_vm(kvm) as vm:
        vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
        latest = vm.vcpu.get_reg(PSCI_VERSION)
        for version in (v for v in VERSIONS if accepts_version(v, latest)):
            vm.vcpu.set_reg(PSCI_VERSION, version)
            _psci_calls(comparison, vm, version, form, contract.smc, f"registers {level}")
    comparison.done()


@dataclass(frozen=True)
class Event:
    """A call that exits with KVM_EXIT_SYSTEM_EVENT, from PSCI ``since`` on. ``answers`` registers have its answer."""

    function: int
    kind: int
    since: int = PSCI_0_2
    answers: int = 4


RESET2, OFF2 = 0x10001, 0x10003
EVENTS = {
    "SYSTEM_OFF": Event(0x84000008, uapi.KVM_SYSTEM_EVENT_SHUTDOWN),
    "SYSTEM_RESET": Event(0x84000009, uapi.KVM_SYSTEM_EVENT_RESET),
    "SYSTEM_RESET2": Event(0x84000012, uapi.KVM_SYSTEM_EVENT_RESET, RESET2, answers=1),
    "SYSTEM_RESET2_64": Event(0xC4000012, uapi.KVM_SYSTEM_EVENT_RESET, RESET2, answers=1),
    "SYSTEM_OFF2": Event(0x84000015, uapi.KVM_SYSTEM_EVENT_SHUTDOWN, OFF2),
    "SYSTEM_OFF2_64": Event(0xC4000015, uapi.KVM_SYSTEM_EVENT_SHUTDOWN, OFF2),
}


@pytest.mark.clause("PSCI-4")
@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_system_events(level: str, name: str, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """These calls exit to user space if the version has them, whatever the bitmaps."""
    vm, event, comparison = make_vm(), EVENTS[name], Comparison()
    vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
    call = Call(event.function, (0, 0, *GARBAGE[2:]))
    if vm.vcpu.get_reg(PSCI_VERSION) < event.since:
        comparison.x(f"{name}, which this version lacks", CLOSED, guests.call(vm.vcpu, call).x0_3)
    else:
        left = guests.last_call(vm.vcpu, call)
        comparison.value("exit reason", uapi.KVM_EXIT_SYSTEM_EVENT, left.reason)
        comparison.value("system event", event.kind, left.system_event)
        # SYSTEM_RESET2 passes its arguments to user space in the other registers.
        comparison.x("x0 on", (INTERNAL_FAILURE, 0, 0, 0)[: event.answers], left.x[: event.answers])
    comparison.done()


@pytest.mark.clause("PSCI-4")
@pytest.mark.parametrize("function", [0x84000001, 0xC4000001], ids=["CPU_SUSPEND", "CPU_SUSPEND64"])
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_cpu_suspend(level: str, function: int, registers: tuple[Register, ...], make_vm: MakeVm) -> None:
    """CPU_SUSPEND returns at once if an interrupt is pending."""
    vm, comparison = make_vm(), Comparison()
    vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
    raise_interrupt(vm)
    comparison.x("CPU_SUSPEND", (0, 0, 0, 0), guests.call(vm.vcpu, Call(function, GARBAGE)).x0_3)
    comparison.done()


@pytest.mark.clause("PSCI-4")
@pytest.mark.parametrize("function", [0x84000003, 0xC4000003], ids=["CPU_ON", "CPU_ON64"])
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_cpu_on(level: str, function: int, registers: tuple[Register, ...], kvm: Kvm, contract: Probe) -> None:
    """CPU_ON starts the second vCPU, whose guest then gets the same answers as the guest of the first one."""
    comparison = Comparison()
    with _psci_vm(kvm) as vm:
        vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
        started = guests.call(vm.vcpu, Call(function, (1, MEMORY_IPA, 0x1234, *GARBAGE[3:])))
        comparison.x("CPU_ON of vCPU 1", (0, 0, 0, 0), started.x0_3)
        # The next ioctl on the vCPU, KVM_GET_ONE_REG here, does the reset that CPU_ON requested.
        pc, x0 = vm.vcpus[1].get_regs([RegisterId("pc", uapi.KVM_REG_ARM_CORE_PC), RegisterId("x0", uapi.core_x(0))])
        comparison.x("vCPU 1's entry and context", (MEMORY_IPA, 0x1234), (pc, x0))
        view = [Call(i, (0x84000004, 0, 0)) for i in (0x84000000, 0x84000050, 0x86000000, 0x8600FF01)]
        view.append(Call(0x84000004, (1, 0)))
        first, second = ([r.x0_3 for r in guests.calls(vcpu, view)] for vcpu in vm.vcpus)
        for call, wanted, got in zip(view, first, second, strict=True):
            comparison.x(f"{call.function:#x} on vCPU 1 as on vCPU 0", wanted, got)
        comparison.x("AFFINITY_INFO of vCPU 1", (0, 0, 0, 0), second[-1])
    comparison.done()


@pytest.mark.clause("PSCI-5", "PSCI-2")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
def test_services_of_psci_0_1(level: str, registers: tuple[Register, ...], kvm: Kvm, contract: Probe) -> None:
    """On a vCPU without PSCI_0_2, the bitmaps select the services, and PSCI has the function ids of version 0.1."""
    comparison = Comparison()
    with kvm.create_vm(features=()) as vm:
        vm.vcpu.set_regs([(r, r.mask if level == "full" else 0) for r in registers])
        expected = {
            0x80000000: (contract.smccc, 0, 0, 0), 0x84000050: (0x10000, 0, 0, 0) if level == "full" else CLOSED,
            0x84000000: CLOSED, 0x8400000A: CLOSED, 0x84000006: CLOSED, 0x95C1BA5E: CLOSED,
            0x95C1BA60: (INVALID_PARAMETERS, 0, 0, 0), 0x95C1BA61: CLOSED,
        }  # fmt: skip
        calls = [Call(i, (0, *GARBAGE[1:])) for i in expected]
        for call, result in zip(calls, guests.calls(vm.vcpu, calls), strict=True):
            comparison.x(f"{call.function:#x}, registers {level}", expected[call.function], result.x0_3)
    comparison.done()


@pytest.mark.clause("PSCI-8", "PSCI-7")
def test_cpu_on_of_late_vcpu(registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """CPU_ON and AFFINITY_INFO find a vCPU that is created after others have run and after calls for its id failed."""
    if not contract.late_vcpus:
        pytest.skip("not applicable, because protected KVM runs no vCPU that is created after the first KVM_RUN")
    vm, comparison = make_vm(2), Comparison()
    info, on = Call(0xC4000004, (2, 0, *GARBAGE[2:])), Call(0xC4000003, (2, MEMORY_IPA, 0x1234, *GARBAGE[3:]))
    for vcpu in vm.vcpus:
        for result in guests.calls(vcpu, [info, on]):
            comparison.x("a call for vCPU 2, which does not exist", (INVALID_PARAMETERS, 0, 0, 0), result.x0_3)
    late = vm.create_vcpu((uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_POWER_OFF))
    for (what, x0), result in zip(
        (("AFFINITY_INFO", 1), ("CPU_ON", 0), ("AFFINITY_INFO again", 0)),
        guests.calls(vm.vcpus[1], [info, on, info]),
        strict=True,
    ):
        comparison.x(f"{what} of vCPU 2, created late", (x0, 0, 0, 0), result.x0_3)
    comparison.x("PSCI_VERSION on vCPU 2", (vm.vcpu.get_reg(PSCI_VERSION), 0, 0, 0), _version_on(late))
    comparison.done()


def _version_on(vcpu: Vcpu) -> tuple[int, ...]:
    return guests.call(vcpu, Call(0x84000000, GARBAGE)).x0_3


@pytest.mark.clause("PSCI-8")
def test_cpu_on_of_psci_0_1(registers: tuple[Register, ...], kvm: Kvm) -> None:
    """PSCI 0.1's CPU_ON starts a vCPU that is off at the entry, and gives INVALID_PARAMETERS for one that is on."""
    comparison = Comparison()
    with kvm.create_vm((0,), features=()) as vm:
        vm.create_vcpu((uapi.KVM_ARM_VCPU_POWER_OFF,))
        call = Call(0x95C1BA60, (1, MEMORY_IPA + 0x1000, 0x1234, *GARBAGE[3:]))
        for when, x0 in (("", 0), (" again", INVALID_PARAMETERS)):
            comparison.x(f"CPU_ON of vCPU 1{when}", (x0, 0, 0, 0), guests.call(vm.vcpu, call).x0_3)
            pc = vm.vcpus[1].get_reg(RegisterId("pc", uapi.KVM_REG_ARM_CORE_PC))
            comparison.value(f"vCPU 1's entry after CPU_ON{when}", MEMORY_IPA + 0x1000, pc)
    comparison.done()


@pytest.mark.clause("PSCI-5", "CALL-3")
@pytest.mark.parametrize("level", REGISTER_LEVELS)
@pytest.mark.parametrize("version", [PSCI_0_2, PSCI_1_0], ids=["0_2", "1_0"])
def test_services_of_each_version(
    version: int, level: str, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe
) -> None:
    """The services and SMCCC_VERSION are the same in each PSCI version."""
    vm, comparison, when = make_vm(), Comparison(), f"PSCI {version:#x}, registers {level}"
    values = {register.name: register.mask if level == "full" else 0 for register in registers}
    vm.vcpu.set_regs([(PSCI_VERSION, version), *((each, values[each.name]) for each in registers)])
    compare_view(comparison, vm.vcpu, contract, values, when)
    seen = guests.call(vm.vcpu, Call(0x80000000, GARBAGE)).x0_3
    comparison.x(f"SMCCC_VERSION, {when}", (contract.smccc, 0, 0, 0), seen)
    comparison.done()
