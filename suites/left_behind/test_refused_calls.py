# SPDX-License-Identifier: GPL-2.0-only
"""What refused calls leave behind: memory, fds, tasks, locks, and bytes in the caller's memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from helpers.batch import Batch, Pending
from helpers.contract.check import EBUSY, Comparison
from helpers.contract.features import Probe
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import Register
from helpers.errors import HarnessError
from helpers.executor.program import Arg
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import GuestImage, KvmProgram, NewVcpu
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm
from suites.left_behind.conftest import MakeRefusing, RefusingVm
from suites.left_behind.growth import Meter
from suites.left_behind.refusals import RefusalPlace, refused_calls
from suites.support.view import compare_view

WHEN = pytest.mark.parametrize("when", ["before_run", "after_run"])
_EXIT_REASON, _MARK = uapi.offset("kvm_run_mmio", "exit_reason"), b"\xa5\xa5\xa5\xa5"


@pytest.mark.clause("LEFT-1", "LEFT-2")
@WHEN
def test_memory(when: str, make_refusing: MakeRefusing, meter: Meter) -> None:
    """Neither memory nor fds nor tasks grow with the number of refused calls."""
    refusing, comparison = make_refusing(when), Comparison()
    what = f"{len(refusing.refused)} kinds of refused calls {when}"
    meter.compare(comparison, what, refusing.make, refusing.make_none)
    comparison.done()


@pytest.mark.clause("LEFT-5")
@WHEN
def test_bytes(when: str, make_refusing: MakeRefusing) -> None:
    """A refused call does not write its structure or the bytes around it, and a refused KVM_RUN not struct kvm_run."""
    refusing, comparison, program = make_refusing(when), Comparison(), KvmProgram()
    run = refusing.vm.vcpu.run_address
    looks = []
    for call in refusing.calls(program):
        pages = None
        if call.request == uapi.KVM_RUN:
            program.poke(run + _EXIT_REASON, _MARK)
            pages = program.peek(run, 4096)
        before, done, after = call.look(program), call.make(program), call.look(program)
        if pages is not None:
            before, after = pages, program.peek(run, 4096)
        if before is not None and after is not None:
            looks.append((call, before, done, after))
    answer = refusing.vm.kvm.subject.run(program)
    for call, before, done, after in looks:
        if answer[done].errno:
            changed = call.changed(answer[before].data, answer[after].data)
            shown = f"other bytes at {changed[:8]}"
            comparison.that(not changed, f"memory around the argument of {call.name}, {when}", "the same bytes", shown)
    comparison.done()


@dataclass(frozen=True)
class _Access:
    """A read, and a call of which ``errno`` is expected. ``value`` is what the read must give."""

    what: str
    read: Pending
    value: int
    done: Pending
    errno: int = 0


@pytest.mark.clause("HISTORY-1", "EVENT-1", "EVENT-2", "EVENT-3")
@WHEN
def test_next_access(when: str, make_refusing: MakeRefusing, contract: Probe) -> None:
    """After each refused call, reads and writes of the registers have the same answers as before it.

    The call is made with two values of each register if they are writable.
    """
    refusing, comparison = make_refusing(when), Comparison()
    place, batch, accesses = refusing.place, refusing.vm.batch(), list[_Access]()
    for call in refusing.calls(batch.program):
        for number in (0, 1):
            call.make(batch.program)
            for register in place.registers:
                what = f"{register.name}, {when}, after {call.name}"
                accesses.append(_access(batch, refusing, register, what, number))
        version = batch.get(refusing.vm.vcpu, PSCI_VERSION)
        accesses.append(_Access(f"PSCI_VERSION after {call.name}", version, refusing.version, version))
    batch.run()
    for each in accesses:
        comparison.error(each.what, each.errno, each.done.errno)
        comparison.value(f"the value of {each.what}", each.value, each.read.value)
    compare_view(comparison, refusing.vm.vcpu, contract, place.values, f"after refused calls {when}")
    comparison.done()


def _access(batch: Batch, refusing: RefusingVm, register: Register, what: str, number: int) -> _Access:
    """Reads the register, and writes another value, or for ``number`` 1 the held one.

    The read precedes the write: a refused call that empties the register is noticed.
    """
    place = refusing.place
    held, other = place.values[register.name], place.values[register.name] ^ register.mask
    now = other if number and not place.locked else held
    read = batch.get(refusing.vm.vcpus[1], register)
    done = batch.set_on(place.vcpu, register, held if number else other)
    return _Access(what, read, now, done, EBUSY if place.locked and not number and other != held else 0)


@pytest.mark.clause("LEFT-2")
def test_room_for_vcpus(make_vm: MakeVm, kvm: Kvm) -> None:
    """After more refused KVM_CREATE_VCPU calls than a VM has room for, the VM's next vCPU can be created."""
    vm, program = make_vm(), KvmProgram(deadline_ms=60_000)
    with program.concurrently() as stage, stage.thread(repeat=kvm.check_extension(uapi.KVM_CAP_MAX_VCPUS)):
        program.create_vcpu(vm.fd, 0)
    kvm.subject.run(program)
    comparison = Comparison()
    comparison.error("KVM_CREATE_VCPU 1 after many refused KVM_CREATE_VCPU 0", 0, vm.try_create_vcpu()[1])
    comparison.done()


def _probes(p: KvmProgram, at: RefusalPlace) -> Iterable[tuple[str, Arg]]:
    """Calls that take each lock of a VM and of its vCPUs (Documentation/virt/kvm/locking.rst)."""
    register = at.registers[0]
    one = p.one_reg(register, at.values[register.name])
    for name, fd in (("vCPU 0", at.vcpu), ("vCPU 1", at.other)):
        yield f"KVM_SET_ONE_REG {register.name} on {name}", p.set_reg(fd, one)
    taken = p.filter_range(0x80000000, 1, uapi.KVM_SMCCC_FILTER_DENY)
    yield "KVM_SET_DEVICE_ATTR of a filter", p.call(at.vm, uapi.KVM_SET_DEVICE_ATTR, taken)
    yield "KVM_SET_ONE_REG on the uninitialised vCPU", p.set_reg(at.blank, one)
    yield "KVM_CREATE_VCPU of an id that exists", p.create_vcpu(at.vm, 0)
    region = uapi.pack("kvm_userspace_memory_region", slot=1)
    slot = p.call(at.vm, uapi.KVM_SET_USER_MEMORY_REGION, p.structure(region))
    yield "KVM_SET_USER_MEMORY_REGION of a slot that does not exist", slot


def _vm_in_child(
    p: KvmProgram, kvm: Kvm, registers: tuple[Register, ...], *, runs: bool
) -> tuple[RefusalPlace, NewVcpu]:
    """A VM that a forked child creates, and its vCPU 0, which has run if ``runs``."""
    vm = p.create_guest_vm(kvm.fd, kvm.vm_type, kvm.image)
    vcpu, other = (p.create_guest_vcpu(vm.fd, number, kvm.run_size, PSCI_0_2) for number in (0, 1))
    blank, spare = (p.create_vcpu(vm.fd, number) for number in (2, 3))
    values = {register.name: register.reset for register in registers}
    if runs:
        p.run_with_immediate_exit(vcpu.fd, vcpu.run_address)
    return RefusalPlace(kvm.fd, vm.fd, vcpu.fd, other.fd, blank, spare, registers, values, runs), vcpu


@pytest.mark.clause("LEFT-3")
@WHEN
def test_locks(when: str, kvm: Kvm, registers: tuple[Register, ...]) -> None:
    """After each refused call, calls that take each lock return.

    At the end, a memory slot is added and deleted, which waits for SRCU readers. A child makes the calls with a
    separate VM. If one waits for a lock, the deadline ends the child only.
    """
    program, steps = KvmProgram(), []
    with program.forked():
        place, vcpu = _vm_in_child(program, kvm, registers, runs=when == "after_run")
        for call in refused_calls(program, place):
            steps.append((call.name, call.make(program)))
            steps += [(f"{name}, after {call.name}", done) for name, done in _probes(program, place)]
        memory = program.guest_memory(GuestImage(b""))
        for size in (0x1_0000, 0):
            region = program.memory_region(memory, slot=1, ipa=0x2000_0000, size=size)
            steps.append((f"KVM_SET_USER_MEMORY_REGION of {size:#x} bytes", program.add_memory(place.vm, region)))
        steps.append(("KVM_RUN", program.run_with_immediate_exit(vcpu.fd, vcpu.run_address)))
    answer = kvm.subject.run(program)
    if answer[vcpu.run_address].errno or not answer[vcpu.run_address].ran:
        raise HarnessError("A forked child could not create a VM", why=answer[vcpu.run_address].error)
    stuck = next((name for name, done in steps if not answer[done].ran), "")
    comparison = Comparison()
    comparison.that(not stuck, f"{len(steps)} calls {when}", "all return", f"this one does not: {stuck}")
    comparison.done()
