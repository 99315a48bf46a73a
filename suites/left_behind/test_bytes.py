# SPDX-License-Identifier: GPL-2.0-only
"""The bytes that accepted calls write: what their documentation names, and no other memory of the caller."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.executor.program import Arg
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi

_CANARY = bytes(range(0x60, 0x80))
_STALE = b"\xa5"


@dataclass(frozen=True)
class _AcceptedCall:
    """A call, and its memory before and after it. ``written`` are the offsets that it may write."""

    name: str
    done: Arg
    before: Arg
    after: Arg
    written: range


class _Calls:
    """Appends calls to a program."""

    def __init__(self, p: KvmProgram) -> None:
        self._p = p
        self.calls: list[_AcceptedCall] = []

    def structure(self, name: str, fd: int | Arg, request: int, data: bytes, *, writes: int = 0) -> None:
        """A call with a structure, of which it may write the first ``writes`` bytes."""
        block = self._p.scratch_bytes(_CANARY + data + _CANARY)
        start = len(_CANARY)
        self._add(name, fd, request, block, start + len(data) + len(_CANARY), range(start, start + writes))

    def pointer(
        self, name: str, fd: int | Arg, request: int, head: bytes, at: int, data: bytes, *, writes: bool = False
    ) -> None:  # fmt: skip
        """A call whose structure has a pointer to ``data`` at the offset ``at``. ``writes``: it may write the data."""
        block = self._p.scratch_bytes(_CANARY + head + _CANARY + data + _CANARY)
        start = 2 * len(_CANARY) + len(head)
        self._p.poke_address(block + (len(_CANARY) + at), block + start)
        written = range(start, start + len(data) * writes)
        self._add(name, fd, request, block, start + len(data) + len(_CANARY), written)

    def _add(self, name: str, fd: int | Arg, request: int, block: Arg, size: int, written: range) -> None:
        before = self._p.peek(block, size)
        done = self._p.ioctl(fd, request, block + len(_CANARY))
        self.calls.append(_AcceptedCall(name, done, before, self._p.peek(block, size), written))

    def attribute(self, what: str, fd: int | Arg, group: int, attr: int, requests: Iterable[tuple[str, bytes]]) -> None:
        """KVM_{SET,GET,HAS}_DEVICE_ATTR with these data. Only GET may write."""
        for verb, data in requests:
            head = uapi.pack("kvm_device_attr", group=group, attr=attr)
            request, at = getattr(uapi, f"KVM_{verb}_DEVICE_ATTR"), uapi.offset("kvm_device_attr", "addr")
            self.pointer(f"KVM_{verb}_DEVICE_ATTR of {what}", fd, request, head, at, data, writes=verb == "GET")


def _registers(calls: _Calls, vm: Vm, ids: list[int], registers: tuple[Register, ...]) -> None:
    """Reads of every register, and writes of the current values of the bitmap registers."""
    for number in ids:
        size = 1 << ((number & uapi.KVM_REG_SIZE_MASK) >> uapi.KVM_REG_SIZE_SHIFT)
        head = struct.pack("<2Q", number, 0)
        name = f"KVM_GET_ONE_REG of {number:#x}"
        calls.pointer(name, vm.vcpu.fd, uapi.KVM_GET_ONE_REG, head, 8, _STALE * size, writes=True)
    for register in registers:
        head, value = struct.pack("<2Q", register.id, 0), struct.pack("<Q", register.reset)
        calls.pointer(f"KVM_SET_ONE_REG of {register.name}", vm.vcpu.fd, uapi.KVM_SET_ONE_REG, head, 8, value)
    head = struct.pack("<Q", len(ids) + 4) + _STALE * 8 * (len(ids) + 4)
    calls.structure("KVM_GET_REG_LIST", vm.vcpu.fd, uapi.KVM_GET_REG_LIST, head, writes=8 + 8 * len(ids))


def _others(calls: _Calls, vm: Vm, contract: Probe, when: str) -> None:
    for name, fd, request, kind in (
        ("KVM_GET_MP_STATE", vm.vcpu.fd, uapi.KVM_GET_MP_STATE, "kvm_mp_state"),
        ("KVM_GET_VCPU_EVENTS", vm.vcpu.fd, uapi.KVM_GET_VCPU_EVENTS, "kvm_vcpu_events"),
        ("KVM_ARM_PREFERRED_TARGET", vm.fd, uapi.KVM_ARM_PREFERRED_TARGET, "kvm_vcpu_init"),
    ):
        size = uapi.ffi.sizeof(f"struct {kind}")
        calls.structure(name, fd, request, _STALE * size, writes=size)
    for timer in (0, 1):
        requests = [("HAS", _STALE * 4), ("GET", _STALE * 4)]
        calls.attribute(f"the interrupt of timer {timer}", vm.vcpu.fd, uapi.KVM_ARM_VCPU_TIMER_CTRL, timer, requests)
    area = struct.pack("<Q", PV_TIME_IPA)
    if contract.pv_time:
        group, attr = uapi.KVM_ARM_VCPU_PVTIME_CTRL, uapi.KVM_ARM_VCPU_PVTIME_IPA
        requests = [("HAS", _STALE * 8), ("SET", area), ("GET", _STALE * 8)]
        calls.attribute("the stolen-time address", vm.vcpu.fd, group, attr, requests)
    if contract.smccc_filter:
        group, attr = uapi.KVM_ARM_VM_SMCCC_CTRL, uapi.KVM_ARM_VM_SMCCC_FILTER
        rule = uapi.pack("kvm_smccc_filter", base=0x84000050, nr_functions=1, action=1)
        requests = [("HAS", rule), *([("SET", rule)] if when == "before_run" else [])]
        calls.attribute("the filter", vm.fd, group, attr, requests)


@pytest.mark.clause("LEFT-6")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_accepted_calls(when: str, kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """Every accepted call that has a pointer writes what it must write, and no byte around it."""
    comparison = Comparison()
    with kvm.create_vm() as vm:
        if when == "after_run":
            vm.vcpu.immediate_exit()
        ids, program = vm.vcpu.reg_list(), KvmProgram()
        calls = _Calls(program)
        _registers(calls, vm, ids, registers)
        _others(calls, vm, contract, when)
        answer = kvm.subject.run(program)
        for call in calls.calls:
            comparison.error(call.name, 0, answer[call.done].errno)
            pairs = enumerate(zip(answer[call.before].data, answer[call.after].data, strict=True))
            wrong = [at - len(_CANARY) for at, (old, new) in pairs if old != new and at not in call.written]
            shown = f"other bytes at {wrong[:8]}"
            comparison.that(not wrong, f"memory around the argument of {call.name}, {when}", "the same bytes", shown)
        listed = next(call for call in calls.calls if call.name == "KVM_GET_REG_LIST")
        written = answer[listed.after].data[len(_CANARY) :][: 8 + 8 * len(ids)]
        expected = struct.pack(f"<{len(ids) + 1}Q", len(ids), *ids)
        comparison.that(written == expected, "memory of KVM_GET_REG_LIST", "n and the ids", "other bytes")
    comparison.done()
