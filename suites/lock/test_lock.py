# SPDX-License-Identifier: GPL-2.0-only
"""After KVM_RUN of any vCPU, every register is locked through every vCPU."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.functions import FUNCTIONS
from helpers.contract.migration import GUEST_VIEW
from helpers.contract.registers import Register
from helpers.errors import HarnessError
from helpers.kvm import Vcpu, Vm
from helpers.smccc import Call
from suites.conftest import MakeVm

RAN = pytest.mark.parametrize("ran", [0, 1], ids=["vcpu0_ran", "vcpu1_ran"])
THROUGH = pytest.mark.parametrize("through", [0, 1], ids=["set_on_vcpu0", "set_on_vcpu1"])
# Calls whose answers depend on nothing but the registers.
VIEW = [Call(f.id, f.args) for f in FUNCTIONS if f.name in {
    "TRNG_VERSION", "TRNG_GET_UUID", "ARCH_FEATURES.PV_TIME_FEATURES", "VENDOR_HYP_CALL_UID", "KVM_FEATURES",
    "KVM_PTP.UNKNOWN_COUNTER", "SMCCC_VERSION",
} or (f.added and f in GUEST_VIEW)]  # fmt: skip


def _view(vcpu: Vcpu) -> list[tuple[int, ...]]:
    return [r.x0_3 for r in guests.calls(vcpu, VIEW)]


def _after_run(make_vm: MakeVm, register: Register, start: int, ran: int) -> Vm:
    """A VM of two vCPUs whose ``register`` was set to ``start`` before vCPU ``ran`` ran."""
    vm = make_vm(2)
    vm.vcpu.set_reg(register, start)
    guests.call(vm.vcpus[ran], Call(0x80000000))
    return vm


def _write(vcpu: Vcpu, register: Register, value: int) -> tuple[int, int | None]:
    batch = vcpu.vm.batch()
    done, after = batch.set(vcpu, register, value), batch.get(vcpu, register)
    batch.run()
    return done.errno, after.value


@pytest.mark.clause("LOCK-1", "LOCK-4")
@RAN
@THROUGH
def test_changed_value(ran: int, through: int, register: Register, make_vm: MakeVm) -> None:
    """Setting and clearing bits is refused with EBUSY, and the value does not change."""
    comparison = Comparison()
    for start in register.subsets():
        vcpu = _after_run(make_vm, register, start, ran).vcpus[through]
        for value in (v for v in register.subsets() if v != start):
            error, after = _write(vcpu, register, value)
            comparison.error(f"{register.name} = {value:#x} from {start:#x} after KVM_RUN", EBUSY, error)
            comparison.value(f"{register.name} after that write", start, after)
    comparison.done()


@pytest.mark.clause("LOCK-2")
@RAN
@THROUGH
def test_same_value(ran: int, through: int, register: Register, make_vm: MakeVm) -> None:
    """Writing the current value succeeds: QEMU restores equal values when it reboots a guest."""
    comparison = Comparison()
    for start in register.subsets():
        vcpu = _after_run(make_vm, register, start, ran).vcpus[through]
        error, after = _write(vcpu, register, start)
        comparison.error(f"{register.name} = {start:#x}, its value, after KVM_RUN", 0, error)
        comparison.value(f"{register.name} after that write", start, after)
    comparison.done()


@pytest.mark.clause("LOCK-3", "LOCK-4")
@RAN
@THROUGH
def test_unsupported_bit(ran: int, through: int, register: Register, make_vm: MakeVm) -> None:
    """An unsupported bit gives EINVAL, not EBUSY, alone or with supported ones."""
    vcpu = _after_run(make_vm, register, register.mask, ran).vcpus[through]
    batch, made = vcpu.vm.batch(), []
    for bit in (b for b in range(64) if not register.mask >> b & 1):
        for value in (1 << bit, register.mask | 1 << bit):
            made.append((value, batch.set(vcpu, register, value), batch.get(vcpu, register)))
    batch.run()
    comparison = Comparison()
    for value, done, after in made:
        comparison.error(f"{register.name} = {value:#x} after KVM_RUN", EINVAL, done.errno)
        comparison.value(f"{register.name} after that write", register.mask, after.value)
    comparison.done()


@pytest.mark.clause("LOCK-4")
@RAN
def test_reads_answer(ran: int, register: Register, make_vm: MakeVm) -> None:
    """The value reads back through every vCPU."""
    comparison = Comparison()
    for start in register.subsets():
        for vcpu in _after_run(make_vm, register, start, ran).vcpus:
            value, _ = vcpu.try_get_reg(register)
            comparison.value(f"{register.name} through vCPU {vcpu.index} after KVM_RUN", start, value)
    comparison.done()


@pytest.mark.clause("LOCK-5")
@THROUGH
def test_guest_view_stays(through: int, register: Register, make_vm: MakeVm) -> None:
    """The guest gets the same answers before and after every refused write."""
    comparison = Comparison()
    for start in register.subsets():
        vm = make_vm(2)
        vm.vcpu.set_reg(register, start)
        before = _view(vm.vcpu)
        for value in (*register.subsets(), register.mask | register.beyond):
            vm.vcpus[through].try_set_reg(register, value)
        for call, was, now in zip(VIEW, before, _view(vm.vcpu), strict=True):
            comparison.x(f"HVC {call.function:#x} after refused writes to {register.name}", was, now)
    comparison.done()


@pytest.mark.clause("LOCK-6", "LOCK-1")
@THROUGH
def test_immediate_exit_locks(through: int, register: Register, make_vm: MakeVm) -> None:
    """KVM_RUN that returns before the first guest instruction locks the registers."""
    vm = make_vm(2)
    error = vm.vcpu.immediate_exit()
    if error != 4:
        raise HarnessError(f"KVM_RUN with immediate_exit gave errno {error}, not EINTR", why="no run could be staged")
    comparison = Comparison()
    for value in (v for v in register.subsets() if v != register.reset):
        comparison.error(
            f"{register.name} = {value:#x} after immediate_exit", EBUSY, vm.vcpus[through].try_set_reg(register, value)
        )
    comparison.done()
