# SPDX-License-Identifier: GPL-2.0-only
"""Makes SMCCC calls in a guest and returns their results. The guest is guest_asm/smccc_calls.S."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.batch import Batch, KvmError
from helpers.errors import HarnessError
from helpers.executor.program import Answer, Arg
from helpers.guest_layout import CALL_RECORD, CALL_RESULT, MAILBOX, MAILBOX_HEAD, MEMORY_IPA, MEMORY_SIZE, PV_TIME_IPA
from helpers.kvm import Vcpu, Vm
from helpers.kvm_program import PC, GuestRun, KvmProgram
from helpers.smccc import Call, CallResult, Conduit
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId, error_name

MAX_CALLS = (PV_TIME_IPA - MEMORY_IPA - MAILBOX - MAILBOX_HEAD) // CALL_RECORD
_ALL_MADE, _EXCEPTION = 1, 2


def load_image(path: Path) -> bytes:
    """The assembled guest. Raises HarnessError if it is not built or too long."""
    if not path.exists():
        raise HarnessError("The guest is not assembled", why=f"{path} is missing", cure="Run make setup")
    image = path.read_bytes()
    if len(image) > MAILBOX:
        raise HarnessError(f"The guest in {path} overlaps its mailbox", cure="Run make clean setup")
    return image


def set_pv_time(vm: Vm, ipa: int, *, place: int = 0) -> None:
    """Gives the first vCPU, or the one at this place, a stolen-time area. Raises KvmError."""
    error = vm.vcpus[place].try_set_attr(uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA, ipa)
    if error:
        raise KvmError(f"KVM_ARM_VCPU_PVTIME_IPA = {ipa:#x} failed with {error_name(error)}")


@dataclass(frozen=True)
class Timed:
    """Calls of one KVM_RUN, and the host's CLOCK_REALTIME (ns) just before and after it."""

    results: list[CallResult]
    realtime: tuple[int, int]


def call(vcpu: Vcpu, one: Call) -> CallResult:
    """Makes one call. Raises KvmError if the guest does not end normally."""
    return calls(vcpu, [one])[0]


def calls(vcpu: Vcpu, requests: Sequence[Call]) -> list[CallResult]:
    """Makes the calls in order, one KVM_RUN for every MAX_CALLS of them. Raises KvmError."""
    results: list[CallResult] = []
    for at in range(0, len(requests), MAX_CALLS):
        results += timed_calls(vcpu, requests[at : at + MAX_CALLS]).results
    return results


def timed_calls(vcpu: Vcpu, requests: Sequence[Call]) -> Timed:
    """Makes up to MAX_CALLS calls in one KVM_RUN. Raises KvmError."""
    program = KvmProgram()
    put_calls(program, vcpu.vm.memory, requests)
    before = program.clock(time.CLOCK_REALTIME)
    ran = program.run(vcpu.fd)
    after = program.clock(time.CLOCK_REALTIME)
    exit_record = program.peek(vcpu.run_address, uapi.ffi.sizeof("struct kvm_run_mmio"))
    mailbox = take_calls(program, ran, vcpu.vm.memory, requests, record=exit_record)
    answer = vcpu.vm.kvm.subject.run(program)
    if answer.expired:
        raise KvmError(f"The guest did not return from {_names(requests)} before the deadline")
    if answer[ran].errno:
        raise KvmError(f"KVM_RUN failed with {answer[ran].error} while the guest made {_names(requests)}")
    _check_exit(answer[exit_record].data, answer[mailbox].data, requests)
    return Timed(read(answer[mailbox].data), (answer[before].ret, answer[after].ret))


def put_calls(program: KvmProgram, memory: int | Arg, requests: Sequence[Call]) -> None:
    """Writes the calls, or none, to the mailbox in the guest's ``memory``. The next KVM_RUN makes them."""
    mailbox = struct.pack("<4Q", len(requests), 0, 0, 0) + b"".join(map(_record, requests))
    assert MAILBOX + len(mailbox) <= MEMORY_SIZE
    program.poke(memory + MAILBOX, mailbox)


def take_calls(
    program: KvmProgram, run: Arg, memory: int | Arg, requests: Sequence[Call], *, record: Arg | None = None
) -> Arg:
    """A PEEK of the mailbox, for ``read``. ``record`` is the PEEK of struct kvm_run after the KVM_RUN ``run``."""
    mailbox = program.peek(memory + MAILBOX, MAILBOX_HEAD + CALL_RECORD * len(requests))
    program.descriptions[run.index] = GuestRun(requests, record, mailbox)
    return mailbox


def read(mailbox: bytes) -> list[CallResult]:
    """The results of the calls in a mailbox."""
    return [_result(mailbox, i) for i in range((len(mailbox) - MAILBOX_HEAD) // CALL_RECORD)]


@dataclass(frozen=True)
class Exit:
    """The exit of KVM_RUN after a call, and the guest's registers.

    ``x`` are x0..x17. ``hypercall`` is the record of KVM_EXIT_HYPERCALL (nr, args, ret, flags), ``system_event`` the
    type in KVM_EXIT_SYSTEM_EVENT's, and ``ndata`` its number of words. Each is valid only for its ``reason``.
    """

    reason: int
    hypercall: tuple[int, tuple[int, ...], int, int]
    system_event: int
    ndata: int
    x: tuple[int, ...]
    pc: int


class _Leaving:
    """A KVM_RUN in a batch whose call exits to user space, and reads of the guest's registers after it."""

    def __init__(self, batch: Batch, vcpu: Vcpu, one: Call) -> None:
        put_calls(batch.program, vcpu.vm.memory, [one])
        # The pattern shows which bytes of the record an exit does not write.
        start = uapi.offset("kvm_run_hypercall", "nr")
        stale = b"\xa5" * (uapi.ffi.sizeof("struct kvm_run_hypercall") - start)
        batch.program.poke(vcpu.run_address + start, stale)
        self._run = batch.run_vcpu(vcpu)
        self._record = batch.program.peek(vcpu.run_address, uapi.ffi.sizeof("struct kvm_run_hypercall"))
        batch.program.descriptions[self._run.ref.index] = GuestRun(record=self._record)
        self._state = [batch.get(vcpu, _x(n)) for n in range(18)]
        self._state.append(batch.get(vcpu, PC))

    def exit(self, answer: Answer) -> Exit:
        """Raises KvmError if KVM_RUN failed."""
        self._run.ok()
        data = answer[self._record].data
        record = uapi.ffi.from_buffer("struct kvm_run_hypercall *", data)
        hypercall = (int(record.nr), tuple(map(int, record.args)), int(record.ret), int(record.hypercall_flags))
        event, ndata = struct.unpack_from("<2I", data, uapi.offset("kvm_run_hypercall", "nr"))
        *x, pc = [p.ok().value or 0 for p in self._state]
        return Exit(int(record.exit_reason), hypercall, event, ndata, tuple(x), pc)


def _x(number: int) -> RegisterId:
    return RegisterId(f"x{number}", uapi.core_x(number))


def last_call(vcpu: Vcpu, one: Call) -> Exit:
    """Makes one call that does not return to the guest. Raises KvmError if KVM_RUN fails."""
    batch = vcpu.vm.batch()
    leaving = _Leaving(batch, vcpu, one)
    return leaving.exit(batch.run())


def exiting_call(vcpu: Vcpu, one: Call, answer: Sequence[int] = (), *, ret: int = 0) -> tuple[Exit, CallResult]:
    """Makes one call that exits to user space, writes ``answer`` to x0 on and ``ret`` to the record, and continues.

    Returns the exit and the call's result in the guest. Raises KvmError if the guest does not end normally.
    """
    batch = vcpu.vm.batch()
    leaving = _Leaving(batch, vcpu, one)
    for n, value in enumerate(answer):
        batch.set(vcpu, _x(n), value)
    batch.program.poke(vcpu.run_address + uapi.offset("kvm_run_hypercall", "ret"), struct.pack("<Q", ret))
    resumed = batch.run_vcpu(vcpu)
    last = batch.program.peek(vcpu.run_address, uapi.ffi.sizeof("struct kvm_run_mmio"))
    mailbox = take_calls(batch.program, resumed.ref, vcpu.vm.memory, [one], record=last)
    results = batch.run()
    exit_state = leaving.exit(results)
    resumed.ok()
    _check_exit(results[last].data, results[mailbox].data, [one])
    return exit_state, _result(results[mailbox].data, 0)


def return_address(image: bytes, conduit: Conduit) -> int:
    """The IPA after ``conduit``'s instruction, where the guest continues after the call."""
    opcode = 0xD4000002 | (1 if conduit.name.startswith("SMC") else 0)
    immediate = int(conduit.name.partition("_")[2] or "0", 16)
    return MEMORY_IPA + image.index(struct.pack("<I", opcode | immediate << 5)) + 4


def _record(one: Call) -> bytes:
    return struct.pack("<9Q", one.conduit, *one.registers).ljust(CALL_RECORD, b"\0")


def _result(mailbox: bytes, index: int) -> CallResult:
    values = struct.unpack_from("<22Q", mailbox, MAILBOX_HEAD + CALL_RECORD * index + CALL_RESULT)
    return CallResult(values[:18], (values[18], values[19]), (values[20], values[21]))


def _check_exit(record: bytes, mailbox: bytes, requests: Sequence[Call]) -> None:
    run = uapi.ffi.from_buffer("struct kvm_run_mmio *", record)
    if run.exit_reason != uapi.KVM_EXIT_MMIO:
        raise KvmError(f"The guest left with exit reason {run.exit_reason} while it made {_names(requests)}")
    if run.data[0] == _EXCEPTION:
        _, esr, elr, _ = struct.unpack_from("<4Q", mailbox)
        raise KvmError(f"The guest took an exception (ESR_EL1 {esr:#x} at {elr:#x}) while it made {_names(requests)}")
    if run.data[0] != _ALL_MADE:
        raise KvmError(f"The guest stored {run.data[0]} to {run.phys_addr:#x} while it made {_names(requests)}")


def _names(requests: Sequence[Call]) -> str:
    return ", ".join(f"{c.conduit.name} {c.function:#x}" for c in requests[:3]) + (", …" if len(requests) > 3 else "")
