# SPDX-License-Identifier: GPL-2.0-only
"""ONE_REG accesses with something wrong in them, and all that they could have changed by mistake."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from helpers.batch import Batch, Pending
from helpers.contract.access import AccessFault, Direction, FaultKind, Place, expected_error, faulty_id
from helpers.contract.check import Comparison
from helpers.contract.registers import Register
from helpers.executor.program import Answer, Arg, ArgType
from helpers.kvm import Vcpu, Vm
from helpers.uapi import kvm as uapi
from suites.conftest import MakeVm

PAGE = 0x10000
"""One page even where pages are 64 KiB."""
KERNEL_ADDRESS = 0xFFFF_0000_0000_0000
CANARY = b"\xa5" * 8
_RW, _ANONYMOUS = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_MAP_FIXED = 0x10
_IOCTLS = {Direction.GET: uapi.KVM_GET_ONE_REG, Direction.SET: uapi.KVM_SET_ONE_REG}


class Area:
    """Three pages: one to read and write, one that may not be accessed, one that may only be read."""

    def __init__(self, batch: Batch) -> None:
        self._program = batch.program
        self._base = self._program.mmap(3 * PAGE, 0, _ANONYMOUS)
        self._program.mmap(PAGE, _RW, _ANONYMOUS | _MAP_FIXED, addr=self._base)
        self._program.mmap(PAGE, mmap.PROT_READ, _ANONYMOUS | _MAP_FIXED, addr=self._base + 2 * PAGE)

    def at(self, place: Place, *, inside: int) -> Arg:
        """The address for a pointer that is wrong; of a straddling one ``inside`` bytes can be accessed."""
        return {
            Place.NULL: Arg(ArgType.VALUE, 0, 0),
            Place.NO_ACCESS: self._base + PAGE,
            Place.STRADDLING: self._base + (PAGE - inside),
            Place.READ_ONLY: self._base + 2 * PAGE,
            Place.KERNEL: Arg(ArgType.VALUE, 0, KERNEL_ADDRESS),
        }[place]

    def free(self) -> None:
        """Appends its end to the program."""
        self._program.munmap(self._base, 3 * PAGE)


@dataclass
class Attempt:
    """One access of a batch, with what it may have touched: the register and the caller's memory."""

    what: str
    expected: int
    done: Pending
    after: Pending
    memory: list[tuple[bytes, Arg]]

    def compare(self, comparison: Comparison, answer: Answer, holds: int) -> None:
        """The errno, and that nothing changed."""
        comparison.error(self.what, self.expected, self.done.errno)
        comparison.value(f"the register after {self.what}", holds, self.after.value)
        for was, ref in self.memory:
            now = answer[ref].data
            comparison.that(now == was, f"the caller's memory after {self.what}", was.hex(" ", 8), now.hex(" ", 8))


class Accesses:
    """Accesses to one register, all of which must fail, in one round trip."""

    def __init__(self, vm: Vm, blank: Vcpu, register: Register, holds: int) -> None:
        """``blank`` is a vCPU of ``vm`` that is not initialised, ``holds`` the register's value."""
        self._batch, self._program = (batch := vm.batch()), batch.program
        self._vm, self._register, self._holds = vm, register, holds
        self._fds = {"": vm.vcpu.fd, "vm": vm.fd, "kvm": vm.kvm.fd, "blank": blank.fd}
        self._structs, self._values = Area(batch), Area(batch)
        # Made once: thousands of accesses are followed by the same read.
        self._read = self._program.one_reg(register)
        self._attempts: list[Attempt] = []

    def add(self, direction: Direction, wrong: tuple[AccessFault, ...]) -> None:
        """One access with these faults; a SET would change the register."""
        kinds = {fault.kind: fault for fault in wrong}
        number = faulty_id(self._register, wrong)
        value = self._register.mask ^ self._holds | (self._register.beyond if FaultKind.VALUE in kinds else 0)
        raw = struct.pack("<Q", value) if direction is Direction.SET else CANARY
        name, faults = self._register.name, "with " + " and ".join(fault.name for fault in wrong)
        given = f" = {value:#x}" if direction is Direction.SET else ""
        what = f"KVM_{direction.value}_ONE_REG of {name} ({number:#x}){given} {faults}"
        fd = next((self._fds[f.fd] for f in wrong if f.fd), self._fds[""])
        argument, watched = self._lay_out(number, raw, kinds)
        done = self._batch.ioctl(what, fd, _IOCTLS[direction], argument)
        self._program.descriptions[done.ref.index] = f"{number:#x} {name}{given} {faults}"
        memory = [(was, self._program.peek(at, len(was))) for was, at in watched]
        self._attempts.append(Attempt(what, expected_error(direction, wrong), done, self._read_back(), memory))

    def _lay_out(
        self, number: int, raw: bytes, kinds: dict[FaultKind, AccessFault]
    ) -> tuple[Arg, list[tuple[bytes, Arg]]]:
        """The ioctl's argument, and pieces of memory that it must leave as they are.

        The id, an address that is not watched, and the value between canaries; a wrong pointer replaces one of them.
        """
        head, body = struct.pack("<Q", number), CANARY + raw + CANARY
        block = self._program.scratch(16 + len(body))
        pointer, watched = block + 24, [(head, block), (body, block + 16)]
        if (fault := kinds.get(FaultKind.POINTER)) and fault.place:
            pointer = self._values.at(fault.place, inside=4)
            if fault.place is Place.STRADDLING:
                # A copy to user space may write what it can reach of the value; only what lies before is watched.
                self._program.poke(pointer + -8, CANARY + raw[:4])
                watched.append((CANARY, pointer + -8))
        self._program.fill(block, head + bytes(8) + body, pointer, 8)
        if (fault := kinds.get(FaultKind.STRUCT)) and fault.place:
            block = self._structs.at(fault.place, inside=8)
            if fault.place is Place.STRADDLING:
                self._program.poke(block, head)
        return block, watched

    def _read_back(self) -> Pending:
        return self._batch.get_into(self._vm.vcpu, self._read)

    def run(self, comparison: Comparison) -> None:
        """Makes them all and compares."""
        self._structs.free()
        self._values.free()
        answer = self._batch.run()
        for attempt in self._attempts:
            attempt.compare(comparison, answer, self._holds)


@dataclass(frozen=True)
class Mixed:
    """A VM whose first vCPU is initialised and whose second is not."""

    vm: Vm
    blank: Vcpu


MakeMixed = Callable[[], Mixed]


@pytest.fixture
def make_mixed(make_vm: MakeVm) -> MakeMixed:
    """Makes VMs with an initialised vCPU and another."""

    def make() -> Mixed:
        vm = make_vm()
        return Mixed(vm, vm.create_vcpu(features=None))

    return make
