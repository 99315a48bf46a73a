# SPDX-License-Identifier: GPL-2.0-only
"""A VM's fds in a forked child, through a UNIX socket, and after the creator closed its own."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from helpers.batch import Batch, Pending
from helpers.contract.check import EBUSY, EINVAL, Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.errors import HarnessError
from helpers.executor.program import Arg, ArgType, Code, Op
from helpers.kvm import PSCI_0_2, Kvm
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.conftest import MakeVm
from suites.events.events import EventPlace, NeutralEvent
from suites.events.observation import compare_guests, compare_state
from suites.events.scene import STATES, TOPOLOGIES, Scene, State, Topology, place_in, scene_of
from suites.events.table import EVENTS
from suites.processes.passing import receive_fd, send_fd, socket_pair

pytestmark = pytest.mark.long

_CALLS = (Code.IOCTL, Code.IOCTL_AGAIN, Code.IOCTL_PEEK, Code.ONE_REG)
_GROUP = 16
"""Events between two observations."""


def _in_child(scene: Scene, events: Iterable[NeutralEvent], acting: int, *, duplicated: bool) -> list[tuple[str, int]]:
    """Each event in a separate child: its ioctls on the VM and its vCPUs, as (event and ioctl, errno)."""
    program, place, calls = KvmProgram(deadline_ms=60_000), place_in(scene, acting), []
    for event in events:
        with program.forked():
            begin = program.op_count
            own = _duplicates(program, place) if duplicated else place
            event.does(program, own)
        fds = (own.vm, own.vcpu, own.other)
        calls += [(event.name, op.args[1].value, index) for index, op in _ioctls(program, fds, begin)]
    answer = scene.vm.kvm.subject.run(program)
    results = [(f"ioctl {request:#x} of {name}", answer.results[index][-1]) for name, request, index in calls]
    return [(what, result.errno if result.ran else -1) for what, result in results]


def _duplicates(program: KvmProgram, place: EventPlace) -> EventPlace:
    vm, vcpu, other = (program.syscall(syscalls.DUP, fd) for fd in (place.vm, place.vcpu, place.other))
    return replace(place, vm=vm, vcpu=vcpu, other=other)


def _ioctls(program: KvmProgram, fds: Iterable[int | Arg], begin: int) -> list[tuple[int, Op]]:
    """The ioctls of the last child on one of ``fds``, by number of operation."""
    numbers = {fd if isinstance(fd, Arg) else Arg(ArgType.VALUE, 0, fd) for fd in fds}
    ops = (each for stage in program.stages for thread in stage for each in thread.ops if each[0] >= begin)
    return [(index, op) for index, op in ops if op.code in _CALLS and op.args[0] in numbers]


@pytest.mark.clause("PROCESS-1", "PROCESS-2")
@pytest.mark.parametrize("duplicated", [False, True], ids=["inherited", "duplicated"])
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_every_event_in_a_child(
    when: str,
    duplicated: bool,
    kvm: Kvm,
    contract: Probe,
    registers: tuple[Register, ...],
    renew_deadline: Callable[[], float],
) -> None:
    """Every ioctl of every event gives EIO in a forked child. After the child has ended, the VM has not changed."""
    state = next(each for each in STATES if each.when == when and each.held == "mixed")
    topology = next(each for each in TOPOLOGIES if each.name == "four_vcpus")
    with scene_of(kvm, contract, registers, state, topology) as scene:
        comparison = Comparison()
        for start in range(0, len(EVENTS), _GROUP):
            renew_deadline()
            events = EVENTS[start : start + _GROUP]
            for what, error in _in_child(scene, events, start // _GROUP, duplicated=duplicated):
                comparison.error(f"{what} in a forked child, {scene.text}", errno.EIO, error)
            names = f"{events[0].name} to {events[-1].name}"
            compare_state(comparison, scene, f"after {names} in forked children, {scene.text}")
            comparison.done()
        compare_guests(comparison, scene, f"after every event in forked children, {scene.text}")
        compare_state(comparison, scene, f"after forked children and the guests' calls, {scene.text}")
        comparison.done()


@pytest.mark.clause("PROCESS-2")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_child_closes_its_copies(when: str, kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """A child unmaps struct kvm_run and closes its copies of the fds, in both orders. The VM continues to work."""
    state, topology = State(when, "mixed"), Topology("two_vcpus", (0, 1))
    with scene_of(kvm, contract, registers, state, topology) as scene:
        comparison, program, vm = Comparison(), KvmProgram(), scene.vm
        closed: list[Arg] = []
        for order in (1, -1):
            with program.forked():
                for vcpu in vm.vcpus:
                    program.munmap(vcpu.run_address, kvm.run_size)
                closed += [program.close(fd) for fd in (*(vcpu.fd for vcpu in vm.vcpus), vm.fd)[::order]]
        answer = kvm.subject.run(program)
        for each in closed:
            comparison.error("close in the child", 0, answer[each].errno)
        compare_state(comparison, scene, f"after a child closed its copies of the fds, {scene.text}")
        compare_guests(comparison, scene, f"after a child closed its copies of the fds, {scene.text}")
        comparison.done()


def _partial(register: Register) -> int:
    """All bits but the lowest."""
    return register.mask & register.mask - 1


def _lowest(register: Register) -> int:
    return register.mask & -register.mask


def _new_vm(batch: Batch, kvm: Kvm) -> tuple[Arg, Arg, Arg]:
    """The fds of a VM and its vCPU, and the address of its struct kvm_run."""
    program = batch.program
    vm = program.create_vm(kvm.fd, kvm.vm_type)
    vcpu = program.create_guest_vcpu(vm, 0, kvm.run_size, PSCI_0_2)
    return vm, vcpu.fd, vcpu.run_address


def _filled_vm(batch: Batch, kvm: Kvm, registers: Iterable[Register], *, runs: bool) -> tuple[Arg, Arg, Arg]:
    """As _new_vm(), with the lowest bit of each register. The vCPU has run if ``runs``."""
    vm, vcpu, run = _new_vm(batch, kvm)
    for register in registers:
        batch.set_on(vcpu, register, _lowest(register))
    if runs:
        batch.program.run_with_immediate_exit(vcpu, run)
    return vm, vcpu, run


def _reads(batch: Batch, vcpu: Arg, registers: Iterable[Register]) -> list[tuple[Register, Pending]]:
    program = batch.program
    reads = [(register, program.get_reg(vcpu, program.one_reg(register))) for register in registers]
    return [(register, batch.pending(read, read.done, read.one_reg)) for register, read in reads]


@pytest.mark.clause("PROCESS-3")
def test_child_creates_a_vm(kvm: Kvm, make_vm: MakeVm, registers: tuple[Register, ...]) -> None:
    """A child's VM, from the inherited fd of /dev/kvm, has reset values and its own lock. The parent's is unchanged."""
    parent, comparison = make_vm(), Comparison()
    parent.vcpu.set_regs([(r, _lowest(r)) for r in registers])
    batch = parent.batch()
    with batch.program.forked():
        _, vcpu, run = _new_vm(batch, kvm)
        fresh = _reads(batch, vcpu, registers)
        written = [(r, batch.set_on(vcpu, r, _partial(r))) for r in registers]
        ran = batch.pending("KVM_RUN", batch.program.run_with_immediate_exit(vcpu, run))
        refused = [(r, batch.set_on(vcpu, r, r.mask)) for r in registers if r.mask]
        held = _reads(batch, vcpu, registers)
    own = [(r, batch.get(parent.vcpu, r), batch.set(parent.vcpu, r, r.mask)) for r in registers]
    batch.run()
    comparison.error("KVM_RUN with immediate_exit in the child", errno.EINTR, ran.errno)
    for register, read in fresh:
        comparison.value(f"{register.name} of a VM that a child created", register.reset, read.value)
    for register, write in written:
        comparison.error(f"{register.name} = {_partial(register):#x} in the child", 0, write.errno)
    for register, write in refused:
        comparison.error(f"a change of {register.name} after KVM_RUN in the child", EBUSY, write.errno)
    for register, read in held:
        comparison.value(f"{register.name} after KVM_RUN in the child", _partial(register), read.value)
    for register, read, write in own:
        comparison.value(f"{register.name} of the parent's VM", _lowest(register), read.value)
        comparison.error(f"a write to {register.name} of the parent's VM", 0, write.errno)
    comparison.done()


def _send_away(batch: Batch, kvm: Kvm, registers: Iterable[Register], *, runs: bool) -> tuple[Arg, Arg]:
    """Creates a VM with the lowest bit of each register, whose fds are only in a socket. Returns the socket pair."""
    program = batch.program
    vm, vcpu, run = _filled_vm(batch, kvm, registers, runs=runs)
    sockets = socket_pair(program, kvm.fd)
    for fd in (vm, vcpu):
        send_fd(program, sockets[0], fd)
    program.munmap(run, kvm.run_size)
    program.close(vcpu)
    program.close(vm)
    return sockets


@pytest.mark.clause("PROCESS-2")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_fds_return(when: str, kvm: Kvm, registers: tuple[Register, ...]) -> None:
    """A VM whose only fds are in a socket still exists: its creator receives them and uses the VM."""
    batch, comparison = Batch(kvm.subject), Comparison()
    program, runs = batch.program, when == "after_run"
    sockets = _send_away(batch, kvm, registers, runs=runs)
    received = [receive_fd(program, sockets[1]) for _ in range(2)]
    vm, vcpu = (each.fd for each in received)
    reads = _reads(batch, vcpu, registers)
    writes = [(r, batch.set_on(vcpu, r, value)) for r in registers for value in (0, r.beyond)]
    memory = batch.ioctl("KVM_CHECK_EXTENSION", vm, uapi.KVM_CHECK_EXTENSION, uapi.KVM_CAP_ARM_VM_IPA_SIZE)
    for fd in (vcpu, vm, *sockets):
        program.close(fd)
    answer = batch.run()
    _require_arrival(all(each.arrived(answer) for each in received))
    comparison.error("KVM_CHECK_EXTENSION on the VM's received fd", 0, memory.errno)
    for register, read in reads:
        comparison.value(f"{register.name} through the received fd", _lowest(register), read.value)
    for number, (register, write) in enumerate(writes):
        changed = EBUSY if runs and register.mask else 0
        what = f"{register.name} = {'an unsupported bit' if number % 2 else 0} through the received fd"
        comparison.error(what, EINVAL if number % 2 else changed, write.errno)
    comparison.done()


@pytest.mark.clause("PROCESS-1", "PROCESS-2")
def test_last_fds_in_a_child(kvm: Kvm, make_vm: MakeVm, registers: tuple[Register, ...]) -> None:
    """A child that receives the only fds of a VM gets EIO. Its creator's other VM continues to work."""
    beside, comparison = make_vm(), Comparison()
    batch = beside.batch()
    program = batch.program
    sockets = _send_away(batch, kvm, registers, runs=True)
    with program.forked():
        received = [receive_fd(program, sockets[1]) for _ in range(2)]
        vm, vcpu = (each.fd for each in received)
        calls = [batch.set_on(vcpu, register, 0) for register in registers]
        calls += [read for _, read in _reads(batch, vcpu, registers)]
        calls.append(batch.ioctl("KVM_RUN", vcpu, uapi.KVM_RUN))
        calls.append(batch.ioctl("KVM_CREATE_VCPU", vm, uapi.KVM_CREATE_VCPU, 1))
    for fd in sockets:
        program.close(fd)
    after = [(register, batch.get(beside.vcpu, register)) for register in registers]
    answer = batch.run()
    _require_arrival(all(each.arrived(answer) for each in received))
    for call in calls:
        comparison.error(f"{call.what} in the child that received the fd", errno.EIO, call.errno)
    for register, read in after:
        comparison.value(f"{register.name} of another VM", register.reset, read.value)
    comparison.done()


@pytest.mark.clause("PROCESS-2", "LOCK-1", "LOCK-2")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_vm_without_its_fd(when: str, kvm: Kvm, registers: tuple[Register, ...]) -> None:
    """After the VM's fd is closed, its vCPU still reads, writes and runs, with the same lock."""
    batch, comparison, runs = Batch(kvm.subject), Comparison(), when == "after_run"
    program = batch.program
    vm, vcpu, run = _filled_vm(batch, kvm, registers, runs=runs)
    program.close(vm)
    reads = _reads(batch, vcpu, registers)
    writes = [(r, batch.set_on(vcpu, r, value), value) for r in registers for value in (0, _lowest(r))]
    ran = batch.pending("KVM_RUN", program.run_with_immediate_exit(vcpu, run))
    locked = [(r, batch.set_on(vcpu, r, 0)) for r in registers if r.mask]
    program.munmap(run, kvm.run_size)
    program.close(vcpu)
    batch.run()
    for register, read in reads:
        comparison.value(f"{register.name} after the VM's fd was closed, {when}", _lowest(register), read.value)
    for register, write, value in writes:
        error = EBUSY if runs and value != _lowest(register) else 0
        comparison.error(f"{register.name} = {value:#x} after that, {when}", error, write.errno)
    comparison.error("KVM_RUN with immediate_exit after that", errno.EINTR, ran.errno)
    for register, write in locked:
        comparison.error(f"a change of {register.name} after that KVM_RUN", EBUSY, write.errno)
    comparison.done()


def _require_arrival(arrived: bool) -> None:
    if not arrived:
        raise HarnessError("The fds did not arrive through the socket", cure="Run the test again")
