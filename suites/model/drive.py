# SPDX-License-Identifier: GPL-2.0-only
"""Makes a sequence of the model's calls on a kernel, all in one round trip, and returns what it answered."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from helpers import guests
from helpers.batch import Batch, Pending
from helpers.contract.features import is_bitmap_id
from helpers.contract.model import operations as op
from helpers.contract.model.guest_calls import CALLEES
from helpers.contract.model.machine import STALE
from helpers.contract.registers import Dialect, Register
from helpers.executor import program as executor
from helpers.executor.program import Arg, Program
from helpers.kvm import MEMORY_IPA, MEMORY_SIZE, Kvm
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId

Read = Callable[[executor.Answer], int | None]
_LIST_ROOM = 1024
"""Ids; kernels list less than 400."""
_ENTRY = RegisterId("pc", uapi.KVM_REG_ARM_CORE_PC)
_X0 = 32 + 72
"""Where in the mailbox the first call's x0 is put (guest_asm/smccc_calls.S)."""
_CTRL, _FILTER = uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER


@dataclass
class _Vcpu:
    fd: Arg
    run_address: Arg
    left: bool = False
    """Whether the guest left with KVM_EXIT_MMIO, which the next KVM_RUN completes."""


@dataclass
class _Vm:
    fd: Arg
    memory: Arg
    vcpus: dict[int, _Vcpu] = field(default_factory=dict)


def drive(
    kvm: Kvm, dialect: Dialect, registers: tuple[Register, ...], steps: tuple[op.Step, ...]
) -> list[op.StepAnswer]:
    """Each step's answer. Raises KernelDied, HarnessError."""
    made = _Sequence(kvm, dialect, registers)
    reads = [made.reads(step) for step in steps]
    made.close_all()
    answer = kvm.subject.run(made.batch.program)
    if answer.expired:
        made.close_opened(answer)
    return [tuple(read(answer) for read in each) for each in reads]


def _number(pending: Pending, what: Callable[[executor.OpResult], int] = lambda r: r.errno) -> Read:
    def read(answer: executor.Answer) -> int | None:
        result = answer[pending.ref]
        return what(result) if result.ran else None

    return read


def _bytes(ref: Arg, layout: str, at: int = 0) -> Read:
    def read(answer: executor.Answer) -> int | None:
        result = answer[ref]
        return int(struct.unpack_from(layout, result.data, at)[0]) if result.ran and not result.errno else None

    return read


class _Sequence:
    """The sequence as one program."""

    def __init__(self, kvm: Kvm, dialect: Dialect, registers: tuple[Register, ...]) -> None:
        self.batch = Batch(kvm.subject)
        self._kvm, self._dialect, self._registers = kvm, dialect, registers
        self._vms: dict[int, _Vm] = {}
        self._opened: list[Arg] = []

    def reads(self, step: op.Step) -> list[Read]:
        """Adds the calls of one step; what reads the numbers that it wants."""
        match step.operation:
            case op.CreateVm(vm=number):
                return [_number(self._create_vm(number))]
            case op.CloseVm(vm=number):
                self._close(self._vms.pop(number))
                return []
            case op.OnVcpu(vm=number, vcpu=index):
                return self._on_vcpu(self._vms[number], self._vms[number].vcpus[index], step)
        return self._on_vm(self._vms[step.operation.vm], step)

    # --- VMs ----------------------------------------------------------------

    def _create_vm(self, number: int) -> Pending:
        batch = self.batch
        memory = batch.mmap("guest memory", MEMORY_SIZE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1)
        batch.program.poke(memory.ref, self._kvm.image)
        made = batch.ioctl("KVM_CREATE_VM", self._kvm.fd, uapi.KVM_CREATE_VM)
        slot = uapi.pack("kvm_userspace_memory_region", guest_phys_addr=MEMORY_IPA, memory_size=MEMORY_SIZE)
        region = batch.program.scratch_bytes(slot)
        batch.program.poke_address(region + uapi.offset("kvm_userspace_memory_region", "userspace_addr"), memory.ref)
        batch.ioctl("KVM_SET_USER_MEMORY_REGION", made.ref, uapi.KVM_SET_USER_MEMORY_REGION, region)
        self._vms[number] = _Vm(made.ref, memory.ref)
        self._opened.append(made.ref)
        return made

    def _on_vm(self, vm: _Vm, step: op.Step) -> list[Read]:
        batch = self.batch
        match step.operation:
            case op.CreateVcpu(id=number):
                return [_number(self._create_vcpu(vm, number))]
            case op.SetFilter(base=base, count=count, action=action):
                return [_number(batch.set_filter(vm.fd, base, count, action))]
            case op.CheckExtension():
                number = uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP
                done = batch.ioctl("KVM_CHECK_EXTENSION", vm.fd, uapi.KVM_CHECK_EXTENSION, number)
                return [_number(done, lambda r: r.ret)]
        assert isinstance(step.operation, op.EnableCap)
        asked = batch.program.scratch_bytes(uapi.pack("kvm_enable_cap", cap=uapi.KVM_CAP_ARM_HVC_FW_REG_BMAP))
        return [_number(batch.ioctl("KVM_ENABLE_CAP", vm.fd, uapi.KVM_ENABLE_CAP, asked))]

    def _create_vcpu(self, vm: _Vm, number: int) -> Pending:
        made = self.batch.ioctl("KVM_CREATE_VCPU", vm.fd, uapi.KVM_CREATE_VCPU, number)
        self._opened.append(made.ref)
        if number not in vm.vcpus:
            shared = self.batch.mmap("struct kvm_run", self._kvm.run_size, mmap.MAP_SHARED, made.ref)
            vm.vcpus[number] = _Vcpu(made.ref, shared.ref)
        return made

    def _close(self, vm: _Vm) -> None:
        for vcpu in vm.vcpus.values():
            self.batch.program.munmap(vcpu.run_address, self._kvm.run_size)
            self.batch.program.close(vcpu.fd)
        self.batch.program.close(vm.fd)
        self.batch.program.munmap(vm.memory, MEMORY_SIZE)

    def close_all(self) -> None:
        """Closes what the sequence left open."""
        for vm in self._vms.values():
            self._close(vm)

    def close_opened(self, answer: executor.Answer) -> None:
        """After a call that never came back, what follows it was not run: closes all that was opened."""
        program = Program()
        for each in self._opened:
            if answer[each].ran and not answer[each].errno:
                program.close(answer[each].ret)
        self._kvm.subject.run(program)

    # --- vCPUs --------------------------------------------------------------

    def _on_vcpu(self, vm: _Vm, vcpu: _Vcpu, step: op.Step) -> list[Read]:
        batch = self.batch
        match step.operation:
            case op.Init(features=features):
                return [_number(self._init(vm, vcpu, features, succeeds=not step.wants[0].value))]
            case op.GetReg(register=register):
                got = batch.get(vcpu, register, memory=STALE)
                assert got.value_ref is not None
                return [_number(got), _bytes(got.value_ref, "<Q")]
            case op.SetReg(register=register, value=value):
                return [_number(batch.set(vcpu, register, value))]
            case op.ListRegs():
                return self._list(vcpu)[: len(step.wants)]
            case op.Run(how=how):
                return self._run(vm, vcpu, how)[: len(step.wants)]
            case op.GuestCall():
                return self._guest_call(vm, vcpu, step)
        assert isinstance(step.operation, op.PvTime)
        return self._pv_time(vcpu, step.operation)

    def _init(self, vm: _Vm, vcpu: _Vcpu, features: tuple[int, ...], *, succeeds: bool) -> Pending:
        if vcpu.left:
            # The guest's last store would be completed in its new life (api.rst 5: re-enter with immediate_exit).
            self.batch.run_vcpu(vcpu, immediate_exit=True)
            vcpu.left = False
        _, done = self.batch.vcpu_init(vm.fd, vcpu.fd, features)
        if succeeds:
            self.batch.set(vcpu, _ENTRY, MEMORY_IPA)
        return done

    def _list(self, vcpu: _Vcpu) -> list[Read]:
        program = self.batch.program
        at = program.scratch(8 + 8 * _LIST_ROOM)
        program.poke(at, struct.pack("<Q", _LIST_ROOM))
        done = self.batch.ioctl("KVM_GET_REG_LIST", vcpu.fd, uapi.KVM_GET_REG_LIST, at)
        got = program.peek(at, 8 + 8 * _LIST_ROOM)

        def times(counted: Callable[[int], bool]) -> Read:
            def read(answer: executor.Answer) -> int | None:
                if not answer[got].ran or answer[done.ref].errno:
                    return None
                n, *ids = struct.unpack(f"<{1 + _LIST_ROOM}Q", answer[got].data)
                return sum(map(counted, ids[:n]))

            return read

        numbers = [r.id for r in self._registers]
        listed = [times(lambda i, number=number: i == number) for number in numbers]  # type: ignore[misc]
        return [_number(done), times(lambda i: is_bitmap_id(self._dialect, i)), *listed]

    def _run(self, vm: _Vm, vcpu: _Vcpu, how: op.How) -> list[Read]:
        if how is op.How.ARGUMENT:
            return [_number(self.batch.ioctl("KVM_RUN", vcpu.fd, uapi.KVM_RUN, 1))]
        if how is op.How.IMMEDIATE_EXIT:
            vcpu.left = False
            return [_number(self.batch.run_vcpu(vcpu, immediate_exit=True))]
        self.batch.program.poke(vm.memory + guests.MAILBOX, guests.ask([]))
        return self._enter(vcpu)[:2]

    def _enter(self, vcpu: _Vcpu) -> list[Read]:
        """KVM_RUN; its errno, the exit's reason, and the number and flags of KVM_EXIT_HYPERCALL."""
        vcpu.left = True
        done = self.batch.run_vcpu(vcpu)
        record = self.batch.program.peek(vcpu.run_address, uapi.ffi.sizeof("struct kvm_run_hypercall"))
        at = {name: uapi.offset("kvm_run_hypercall", name) for name in ("exit_reason", "nr", "hypercall_flags")}
        reason, number, flags = (
            _bytes(record, "<I", at["exit_reason"]),
            *(_bytes(record, "<Q", at[name]) for name in ("nr", "hypercall_flags")),
        )
        return [_number(done), reason, number, flags]

    def _guest_call(self, vm: _Vm, vcpu: _Vcpu, step: op.Step) -> list[Read]:
        assert isinstance(step.operation, op.GuestCall)
        program, mailbox = self.batch.program, vm.memory + guests.MAILBOX
        program.poke(mailbox, guests.ask([CALLEES[step.operation.name].call(step.operation.form)]))
        program.poke(mailbox + _X0, struct.pack("<4Q", *[STALE] * 4))
        reads = self._enter(vcpu)
        if len(step.wants) == 1:
            vcpu.left = False
            return reads[:1]
        # A call that is forwarded leaves once more: on its way, and at the guest's end.
        forwarded = any(want.name == "hypercall.nr" for want in step.wants)
        reads = [*reads, *self._enter(vcpu)[:2]] if forwarded else reads[:2]
        memory = program.peek(mailbox + _X0, 32)
        return [*reads, *(_bytes(memory, "<Q", 8 * n) for n in range(4))]

    def _pv_time(self, vcpu: _Vcpu, operation: op.PvTime) -> list[Read]:
        program = self.batch.program
        at = program.scratch_bytes(struct.pack("<Q", operation.ipa))
        group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
        arg = program.scratch_bytes(uapi.pack("kvm_device_attr", group=group, attr=attr))
        program.poke_address(arg + uapi.offset("kvm_device_attr", "addr"), at)
        done = self.batch.ioctl(operation.request.value, vcpu.fd, getattr(uapi, operation.request.value), arg)
        if operation.request is not op.Request.GET:
            return [_number(done)]
        return [_number(done), _bytes(program.peek(at, 8), "<Q")]
