# SPDX-License-Identifier: GPL-2.0-only
"""Makes sequences of the model's calls on a kernel in one round trip, and returns the answers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from helpers import guests
from helpers.contract.features import is_bitmap_id
from helpers.contract.model import operations as op
from helpers.contract.model.guest_calls import CALLEES
from helpers.contract.model.state import STALE
from helpers.contract.registers import Dialect, Register
from helpers.executor import program as executor
from helpers.executor.program import DEFAULT_DEADLINE_MS, Arg, Program
from helpers.guest_layout import CALL_RESULT, MAILBOX, MAILBOX_HEAD
from helpers.kvm import Kvm
from helpers.kvm_program import GuestRun, KvmProgram
from helpers.uapi import kvm as uapi
from suites.events.events import EventPlace
from suites.events.perform import perform
from suites.model.alphabet import BY_NAME

Read = Callable[[executor.Answer], int | None]
_LONG_DEADLINE_MS = 15_000
"""Deadline of a program with one sequence: less than the test's timeout, after which the kernel is rebooted."""
_MOST_OPS = 20_000
"""No sequence is added to a program with more operations: a request to the executor has at most 4 MiB."""
_LIST_ROOM = 1024
"""Memory for KVM_GET_REG_LIST, in ids. Kernels list fewer than 400."""
_X0 = MAILBOX + MAILBOX_HEAD + CALL_RESULT
"""Offset of the first call's x0 in the guest's memory."""


@dataclass(frozen=True)
class DriveFacts:
    """The kernel's registers, and the ids of KVM_GET_REG_LIST."""

    dialect: Dialect
    registers: tuple[Register, ...]
    ids: tuple[int, ...] = ()


@dataclass
class _Vcpu:
    fd: Arg
    run_address: Arg
    features: tuple[int, ...] | None = None
    left: bool = False
    """Whether the last KVM_RUN returned KVM_EXIT_MMIO, which the next KVM_RUN completes."""


@dataclass
class _Vm:
    fd: Arg
    memory: Arg
    vcpus: dict[int, _Vcpu] = field(default_factory=dict)


def drive(
    kvm: Kvm, facts: DriveFacts, sequences: Sequence[tuple[op.Step, ...]], renew_deadline: Callable[[], object]
) -> list[list[op.StepAnswer]]:
    """Makes the sequences' calls. Returns each step's answer in each sequence. Raises KernelDied, HarnessError.

    A sequence creates VMs and closes them at its end. If a program does not end before its deadline, its sequences are
    driven again, one in each program and with a longer deadline: a sequence that hangs leaves the others without
    answers, and on some hosts each ioctl takes milliseconds. The first sequence that hangs again is the last one that
    is driven. The sequences after it in that program get no answers.
    """
    answers: list[list[op.StepAnswer]] = []
    while len(answers) < len(sequences):
        renew_deadline()
        part, expired = _drive(kvm, facts, sequences[len(answers) :], DEFAULT_DEADLINE_MS)
        again = sequences[len(answers) : len(answers) + len(part)] if expired else ()
        answers += _each_alone(kvm, facts, again, renew_deadline) if expired else part
    return answers


def _each_alone(
    kvm: Kvm, facts: DriveFacts, sequences: Sequence[tuple[op.Step, ...]], renew_deadline: Callable[[], object]
) -> list[list[op.StepAnswer]]:
    alone: list[list[op.StepAnswer]] = []
    hangs = False
    for steps in sequences:
        if hangs:
            alone.append([tuple(None for _ in step.wants) for step in steps])
            continue
        renew_deadline()
        [answer], hangs = _drive(kvm, facts, [steps], _LONG_DEADLINE_MS)
        alone.append(answer)
    return alone


def _drive(
    kvm: Kvm, facts: DriveFacts, sequences: Sequence[tuple[op.Step, ...]], deadline_ms: int
) -> tuple[list[list[op.StepAnswer]], bool]:
    """The answers of the first sequences, as many as fit into one program, and whether its deadline expired."""
    program, opened, reads = KvmProgram(deadline_ms=deadline_ms), list[Arg](), list[list[list[Read]]]()
    for steps in sequences:
        if program.op_count > _MOST_OPS:
            break
        sequence = _Sequence(kvm, facts, program, opened)
        reads.append([sequence.reads(step) for step in steps])
        sequence.close_all()
    answer = kvm.subject.run(program)
    if answer.expired:
        _close_opened(kvm, opened, answer)
    return [[tuple(read(answer) for read in each) for each in steps] for steps in reads], answer.expired


def _close_opened(kvm: Kvm, opened: list[Arg], answer: executor.Answer) -> None:
    """Closes every fd. After an expired deadline, the program has not made its own calls that close them."""
    program = Program()
    for each in opened:
        if answer[each].ran and not answer[each].errno:
            program.close(answer[each].ret)
    kvm.subject.run(program)


def _number(ref: Arg, what: Callable[[executor.OpResult], int] = lambda r: r.errno) -> Read:
    def read(answer: executor.Answer) -> int | None:
        result = answer[ref]
        return what(result) if result.ran else None

    return read


def _bytes(ref: Arg, layout: str, at: int = 0) -> Read:
    def read(answer: executor.Answer) -> int | None:
        result = answer[ref]
        return int(struct.unpack_from(layout, result.data, at)[0]) if result.data else None

    return read


class _Sequence:
    """Appends the calls of one sequence to a program, and to ``opened`` the fds that they open."""

    def __init__(self, kvm: Kvm, facts: DriveFacts, program: KvmProgram, opened: list[Arg]) -> None:
        self.program = program
        self._kvm, self._facts, self._opened = kvm, facts, opened
        self._vms: dict[int, _Vm] = {}

    def reads(self, step: op.Step) -> list[Read]:
        """Appends the calls of one step. Returns a reader for each number of its answer."""
        match step.operation:
            case op.CreateVm(vm=number):
                return [_number(self._create_vm(number))]
            case op.CloseVm(vm=number):
                self._close(self._vms.pop(number))
                return []
            case op.Disturb(vm=number):
                self._disturb(self._vms[number], step.operation)
                return []
            case op.Restart(vm=number, completes=completes):
                self._restart(self._vms[number], completes=completes)
                return []
            case op.OnVcpu(vm=number, vcpu=index):
                return self._on_vcpu(self._vms[number], self._vms[number].vcpus[index], step)
        return self._on_vm(self._vms[step.operation.vm], step)

    # --- VMs ----------------------------------------------------------------

    def _create_vm(self, number: int) -> Arg:
        vm = self.program.create_guest_vm(self._kvm.fd, self._kvm.vm_type, self._kvm.image)
        self._vms[number] = _Vm(vm.fd, vm.memory)
        self._opened.append(vm.fd)
        return vm.fd

    def _on_vm(self, vm: _Vm, step: op.Step) -> list[Read]:
        program, capability = self.program, uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP
        match step.operation:
            case op.CreateVcpu(id=number):
                return [_number(self._create_vcpu(vm, number))]
            case op.SetFilter(base=base, count=count, action=action):
                rule = program.filter_range(base, count, action)
                return [_number(program.call(vm.fd, uapi.KVM_SET_DEVICE_ATTR, rule))]
            case op.CheckExtension():
                done = program.ioctl(vm.fd, uapi.KVM_CHECK_EXTENSION, capability)
                return [_number(done, lambda r: r.ret)]
        assert isinstance(step.operation, op.EnableCap)
        return [_number(program.call(vm.fd, uapi.KVM_ENABLE_CAP, program.capability_request(capability)))]

    def _create_vcpu(self, vm: _Vm, number: int) -> Arg:
        fd = self.program.create_vcpu(vm.fd, number)
        self._opened.append(fd)
        if number not in vm.vcpus:
            vm.vcpus[number] = _Vcpu(fd, self.program.map_run(fd, self._kvm.run_size))
        return fd

    def _close(self, vm: _Vm) -> None:
        vcpus = [(vcpu.fd, vcpu.run_address) for vcpu in vm.vcpus.values()]
        self.program.close_vm(vm.fd, vm.memory, vcpus, self._kvm.run_size)

    def close_all(self) -> None:
        """Closes the VMs that the sequence left open."""
        for vm in self._vms.values():
            self._close(vm)

    # --- events -------------------------------------------------------------

    def _disturb(self, vm: _Vm, operation: op.Disturb) -> None:
        """Completes each pending KVM_EXIT_MMIO, then makes the event's calls."""
        self._complete(vm)
        vcpu, other = vm.vcpus[operation.vcpu], vm.vcpus[operation.other]
        place = EventPlace(
            kvm=self._kvm.fd, vm_type=self._kvm.vm_type, vm=vm.fd, vcpu=vcpu.fd, vcpu_id=operation.vcpu,
            other=other.fd, other_id=operation.other, memory=vm.memory, run_address=vcpu.run_address,
            run_size=self._kvm.run_size, features=operation.features, registers=self._facts.registers,
            values=dict(operation.values), ids=self._facts.ids,
        )  # fmt: skip
        perform(self.program, BY_NAME[operation.event], place, operation.actor)

    def _complete(self, vm: _Vm) -> None:
        for vcpu in vm.vcpus.values():
            if vcpu.left:
                self._run_with_immediate_exit(vcpu)

    def _restart(self, vm: _Vm, *, completes: bool) -> None:
        """Initialises the vCPUs again and sets their PC to the entry. ``completes``: a KVM_EXIT_MMIO may be pending."""
        for vcpu in vm.vcpus.values():
            if vcpu.features is None:
                continue
            if completes:
                self._run_with_immediate_exit(vcpu)
            _, init = self.program.prepare_init(vm.fd, vcpu.features)
            self.program.init_vcpu(vcpu.fd, init)
            self.program.set_entry(vcpu.fd)

    # --- vCPUs --------------------------------------------------------------

    def _on_vcpu(self, vm: _Vm, vcpu: _Vcpu, step: op.Step) -> list[Read]:
        program = self.program
        match step.operation:
            case op.Init(features=features):
                return [_number(self._init(vm, vcpu, features, succeeds=not step.wants[0].value))]
            case op.GetReg(register=register):
                read = program.get_reg(vcpu.fd, program.one_reg(register, STALE))
                return [_number(read.done), _number(read.done, read.one_reg.after)]
            case op.SetReg(register=register, value=value):
                return [_number(program.set_reg(vcpu.fd, program.one_reg(register, value)))]
            case op.ListRegs():
                return self._list(vcpu)[: len(step.wants)]
            case op.Run(how=how):
                return self._run(vm, vcpu, how)[: len(step.wants)]
            case op.GuestCall() | op.ForwardedCall():
                return self._guest_call(vm, vcpu, step)
            case op.ResumeGuest():
                return [*self._enter(vcpu)[:2], *self._x(vm)]
        assert isinstance(step.operation, op.PvTime)
        return self._pv_time(vcpu, step.operation)

    def _init(self, vm: _Vm, vcpu: _Vcpu, features: tuple[int, ...], *, succeeds: bool) -> Arg:
        if vcpu.left:
            # Otherwise the next KVM_RUN completes the guest's last store after INIT (api.rst 5).
            self._run_with_immediate_exit(vcpu)
        _, init = self.program.prepare_init(vm.fd, features)
        done = self.program.init_vcpu(vcpu.fd, init)
        if succeeds:
            vcpu.features = features
            self.program.set_entry(vcpu.fd)
            finish_init(self.program, vcpu.fd, features)
        return done

    def _run_with_immediate_exit(self, vcpu: _Vcpu) -> Arg:
        vcpu.left = False
        return self.program.run_with_immediate_exit(vcpu.fd, vcpu.run_address)

    def _list(self, vcpu: _Vcpu) -> list[Read]:
        listing = self.program.reg_list(vcpu.fd, _LIST_ROOM)

        def times(counted: Callable[[int], bool]) -> Read:
            def read(answer: executor.Answer) -> int | None:
                if not answer[listing.memory].ran or answer[listing.done].errno:
                    return None
                n, ids = listing.listed(answer)
                return sum(map(counted, ids[:n]))

            return read

        numbers = [r.id for r in self._facts.registers]
        listed = [times(lambda i, number=number: i == number) for number in numbers]  # type: ignore[misc]
        return [_number(listing.done), times(lambda i: is_bitmap_id(self._facts.dialect, i)), *listed]

    def _run(self, vm: _Vm, vcpu: _Vcpu, how: op.How) -> list[Read]:
        if how is op.How.ARGUMENT:
            return [_number(self.program.run(vcpu.fd, 1))]
        if how is op.How.IMMEDIATE_EXIT:
            return [_number(self._run_with_immediate_exit(vcpu))]
        guests.put_calls(self.program, vm.memory, [])
        return self._enter(vcpu)[:2]

    def _enter(self, vcpu: _Vcpu) -> list[Read]:
        """Appends KVM_RUN. Returns readers of its errno, exit_reason, and nr and flags of KVM_EXIT_HYPERCALL."""
        vcpu.left = True
        done = self.program.run(vcpu.fd)
        record = self.program.peek(vcpu.run_address, uapi.ffi.sizeof("struct kvm_run_hypercall"))
        self.program.descriptions[done.index] = GuestRun(record=record)
        at = {name: uapi.offset("kvm_run_hypercall", name) for name in ("exit_reason", "nr", "hypercall_flags")}
        reason, number, flags = (
            _bytes(record, "<I", at["exit_reason"]),
            *(_bytes(record, "<Q", at[name]) for name in ("nr", "hypercall_flags")),
        )
        return [_number(done), reason, number, flags]

    def _guest_call(self, vm: _Vm, vcpu: _Vcpu, step: op.Step) -> list[Read]:
        assert isinstance(step.operation, (op.GuestCall, op.ForwardedCall))
        call = CALLEES[step.operation.name].call(step.operation.form)
        guests.put_calls(self.program, vm.memory, [call])
        self.program.poke(vm.memory + _X0, struct.pack("<4Q", *[STALE] * 4))
        reads = self._enter(vcpu)
        if len(step.wants) == 1:
            vcpu.left = False
            return reads[:1]
        if isinstance(step.operation, op.ForwardedCall):
            vcpu.left = False
            return reads
        # A forwarded call has a separate exit, before the one at the guest's end.
        forwarded = any(want.name == "hypercall.nr" for want in step.wants)
        reads = [*reads, *self._enter(vcpu)[:2]] if forwarded else reads[:2]
        return [*reads, *self._x(vm)]

    def _x(self, vm: _Vm) -> list[Read]:
        """x0 to x3 after the guest's call."""
        memory = self.program.peek(vm.memory + _X0, 32)
        return [_bytes(memory, "<Q", 8 * n) for n in range(4)]

    def _pv_time(self, vcpu: _Vcpu, operation: op.PvTime) -> list[Read]:
        group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
        argument = self.program.device_attr(group, attr, struct.pack("<Q", operation.ipa))
        done = self.program.call(vcpu.fd, getattr(uapi, operation.request.value), argument)
        if operation.request is not op.Request.GET:
            return [_number(done)]
        return [_number(done), _bytes(self.program.peek(argument.memory, 8), "<Q")]


def finish_init(program: KvmProgram, vcpu: Arg, features: tuple[int, ...]) -> None:
    """Initialises a PMU and finalises SVE, as the first KVM_RUN requires (devices/vcpu.rst 1, api.rst 4.110)."""
    if uapi.KVM_ARM_VCPU_PMU_V3 in features:
        attr = program.device_attr(uapi.KVM_ARM_VCPU_PMU_V3_CTRL, uapi.KVM_ARM_VCPU_PMU_V3_INIT, 0)
        program.call(vcpu, uapi.KVM_SET_DEVICE_ATTR, attr)
    if uapi.KVM_ARM_VCPU_SVE in features:
        feature = program.structure(struct.pack("<i", uapi.KVM_ARM_VCPU_SVE))
        program.call(vcpu, uapi.KVM_ARM_VCPU_FINALIZE, feature)
