# SPDX-License-Identifier: GPL-2.0-only
"""ONE_REG accesses that must fail, and checks that they changed nothing."""

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
    """Three pages: read-write, inaccessible, read-only."""

    def __init__(self, batch: Batch) -> None:
        self._program = batch.program
        self._base = self._program.mmap(3 * PAGE, 0, _ANONYMOUS)
        self._program.mmap(PAGE, _RW, _ANONYMOUS | _MAP_FIXED, addr=self._base)
        self._program.mmap(PAGE, mmap.PROT_READ, _ANONYMOUS | _MAP_FIXED, addr=self._base + 2 * PAGE)

    def at(self, place: Place, *, inside: int) -> Arg:
        """The address for a bad pointer. At a straddling one, ``inside`` bytes can be accessed."""
        return {
            Place.NULL: Arg(ArgType.VALUE, 0, 0),
            Place.NO_ACCESS: self._base + PAGE,
            Place.STRADDLING: self._base + (PAGE - inside),
            Place.READ_ONLY: self._base + 2 * PAGE,
            Place.KERNEL: Arg(ArgType.VALUE, 0, KERNEL_ADDRESS),
        }[place]

    def free(self) -> None:
        """Appends munmap(2) of the pages to the program."""
        self._program.munmap(self._base, 3 * PAGE)


@dataclass
class Attempt:
    """One access of a batch, and what it must not change: the register and the caller's memory."""

    what: str
    expected: int
    done: Pending
    after: Pending
    memory: list[tuple[bytes, Arg]]

    def compare(self, comparison: Comparison, answer: Answer, holds: int) -> None:
        """Compares the errno, the register and the memory."""
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
        # Built once, because the same read follows thousands of accesses.
        self._read = self._program.one_reg(register)
        self._attempts: list[Attempt] = []

    def add(self, direction: Direction, wrong: tuple[AccessFault, ...]) -> None:
        """Appends one access with these faults. Without them, a SET would change the register."""
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
        """The ioctl's argument, and pieces of memory that it must not change.

        The argument is the id and the address of the value. The value is between canaries. A bad pointer replaces the
        argument or the address. The address itself is not compared.
        """
        head, body = struct.pack("<Q", number), CANARY + raw + CANARY
        block = self._program.scratch(16 + len(body))
        pointer, watched = block + 24, [(head, block), (body, block + 16)]
        if (fault := kinds.get(FaultKind.POINTER)) and fault.place:
            pointer = self._values.at(fault.place, inside=4)
            if fault.place is Place.STRADDLING:
                # copy_to_user() may write the accessible part of the value. Only the memory before it is compared.
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
        """Makes all accesses and compares their results."""
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
    """Makes VMs with an initialised vCPU and one that is not initialised."""

    def make() -> Mixed:
        vm = make_vm()
        return Mixed(vm, vm.create_vcpu(features=None))

    return make
