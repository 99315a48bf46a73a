# SPDX-License-Identifier: GPL-2.0-only
"""Programs of system calls, and their results."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

DEFAULT_DEADLINE_MS = 10_000
DEADLINE_MS_PER_OPERATION = 10
"""Added to the default for each operation: a program of 1,000 calls is slower than one of ten."""
_POINTER = 8
_WIDEST_GAP = 64
"""Two structures are sent as one chunk if at most this many bytes are between them."""


class Code(IntEnum):
    """Operations of the executor; executor.h lists the arguments of each."""

    OPEN = 1
    CLOSE = 2
    IOCTL = 3
    MMAP = 4
    MUNMAP = 5
    PEEK = 6
    POKE = 7
    READ = 8
    WRITE = 9
    POKE_VALUE = 10
    CLOCK = 11
    SYSCALL = 12
    BARRIER = 13
    IOCTL_AGAIN = 14
    IOCTL_PEEK = 15
    ONE_REG = 16


class ArgType(IntEnum):
    """Where an argument's value comes from."""

    VALUE = 0
    RESULT = 1
    SCRATCH = 2


_RESULT = ArgType.RESULT
"""Looked up once for all operations, because Python 3.11 takes long to look up a member of an enumeration."""


class Arg(NamedTuple):
    """One argument. ``value`` is the argument, or is added to a result or to the scratch memory's address."""

    type: ArgType
    index: int  # type: ignore[assignment]  # instead of the method of tuples
    value: int

    def __add__(self, offset: int) -> Arg:  # type: ignore[override]
        return Arg(self.type, self.index, self.value + offset)


class Op(NamedTuple):
    """One operation of a program. In ``given``, an int is an argument's value."""

    code: Code
    given: tuple[int | Arg, ...]
    data: bytes

    @property
    def args(self) -> tuple[Arg, ...]:
        """The arguments. Each access converts them all: code that reads many operations uses ``given``."""
        return tuple(each if isinstance(each, Arg) else Arg(ArgType.VALUE, 0, each) for each in self.given)


@dataclass
class Thread:
    """A list of operations, run ``repeat`` times; ``forked``: in a child process."""

    repeat: int = 1
    ops: list[tuple[int, Op]] = field(default_factory=list)
    forked: bool = False


class OpResult(NamedTuple):
    """The result of one operation: return value, errno, whether it ran, and the bytes that it read."""

    ret: int
    errno: int
    ran: bool
    data: bytes

    @property
    def error(self) -> str:
        """The errno's name, or "0"."""
        return errno.errorcode.get(self.errno, str(self.errno)) if self.errno else "0"


@dataclass(frozen=True)
class Answer:
    """The results of a program: one tuple for each operation, with one result for each repetition."""

    results: tuple[tuple[OpResult, ...], ...]
    expired: bool
    forked: bool = False
    """Whether a part of the program ran in a forked child."""

    def __getitem__(self, ref: Arg) -> OpResult:
        """The result of the operation that returned ``ref``; the last result if it was repeated."""
        return self.results[ref.index][-1]

    @property
    def ran_out_of_time(self) -> bool:
        """Whether the deadline expired between two operations, so that none of them blocked.

        False with a forked child: the operation that a killed child was in has no result.
        """
        last = next((each[-1] for each in reversed(self.results) if each and each[-1].ran), None)
        return self.expired and not self.forked and (last is None or last.errno != errno.EINTR)


class Program:
    """Builds one program. Each method appends an operation and returns its result, to be used as an argument.

    A method with the name of a system call makes that call.
    """

    def __init__(self, *, deadline_ms: int | None = None, traced: bool = True) -> None:
        """``traced`` is false for a program of the harness itself, which is not part of a test's trace."""
        self._deadline_ms, self.traced = deadline_ms, traced
        self.alone = False
        """Whether it should have the machine's processors to itself, because its threads race."""
        self.stages: list[list[Thread]] = [[Thread()]]
        self.scratch_size = 0
        self.chunks: list[tuple[int, bytearray]] = []
        """The contents of the scratch memory before the first operation, by offset."""
        self.pointers: list[int] = []
        """Offsets in the scratch memory of pointers into the scratch memory."""
        self.op_count = 0
        self.descriptions: dict[int, object] = {}
        """Descriptions of operations, by number, for the trace. They are not sent to the executor."""
        self._current = self.stages[0][0]

    @property
    def deadline_ms(self) -> int:
        """The time after which the executor interrupts the program."""
        if self._deadline_ms is None:
            return DEFAULT_DEADLINE_MS + DEADLINE_MS_PER_OPERATION * self.op_count
        return self._deadline_ms

    @deadline_ms.setter
    def deadline_ms(self, value: int) -> None:
        self._deadline_ms = value

    def _append(self, code: Code, *args: int | Arg, data: bytes = b"") -> Arg:
        number = self.op_count
        self._current.ops.append((number, Op(code, args, data)))
        self.op_count = number + 1
        return Arg(_RESULT, number, 0)

    def scratch(self, size: int) -> Arg:
        """The address of ``size`` zeroed bytes, aligned to 16, valid until the program ends."""
        at = self.scratch_size
        self.scratch_size += (size + 15) & ~15
        return Arg(ArgType.SCRATCH, 0, at)

    def scratch_bytes(self, data: bytes) -> Arg:
        """The address of scratch memory that contains ``data``. In a repeated thread, each repetition restores it."""
        at = self.scratch(len(data))
        self.fill(at, data)
        return at

    def fill(self, at: Arg, data: bytes, pointer: Arg | None = None, offset: int = 0) -> None:
        """Writes ``data`` to scratch memory that is not used yet, with the address ``pointer`` at ``offset`` in it.

        In a repeated thread, operations write it, because an earlier repetition may have changed the memory.
        """
        if self._current.repeat > 1 or (pointer is not None and pointer.type is ArgType.RESULT):
            self.poke(at, data)
            if pointer is not None:
                self.poke_address(at + offset, pointer)
            return
        if pointer is not None:
            data = data[:offset] + pointer.value.to_bytes(_POINTER, "little") + data[offset + _POINTER :]
            if pointer.type is ArgType.SCRATCH:
                self.pointers.append(at.value + offset)
        start, chunk = self.chunks[-1] if self.chunks else (0, bytearray())
        gap = at.value - start - len(chunk)
        if not self.chunks or not 0 <= gap <= _WIDEST_GAP:
            chunk, gap = bytearray(), 0
            self.chunks.append((at.value, chunk))
        chunk += bytes(gap) + data

    def open(self, path: str, flags: int, mode: int = 0) -> Arg:
        return self._append(Code.OPEN, flags, mode, data=path.encode() + b"\0")

    def close(self, fd: int | Arg) -> Arg:
        return self._append(Code.CLOSE, fd)

    def ioctl(self, fd: int | Arg, request: int, argument: int | Arg = 0) -> Arg:
        return self._append(Code.IOCTL, fd, request, argument)

    def ioctl_peek(self, fd: int | Arg, request: int, argument: int | Arg, addr: int | Arg, length: int) -> Arg:
        """ioctl(2). The result has the ``length`` bytes at ``addr`` after the call, or none if they are not mapped."""
        return self._append(Code.IOCTL_PEEK, fd, request, argument, addr, length)

    def ioctl_one_reg(self, fd: int | Arg, request: int, register_id: int, value: int) -> Arg:
        """ioctl(2) with a struct kvm_one_reg that points to a u64 in the executor's memory, which contains ``value``.

        The result has the 8 bytes of the u64 after the call, or none if the call did not change it.
        """
        return self._append(Code.ONE_REG, fd, request, register_id, value)

    def ioctl_again(self, fd: int | Arg, request: int, argument: int | Arg = 0) -> Arg:
        """ioctl(2), repeated after EINTR until the deadline. The result is from the last call."""
        return self._append(Code.IOCTL_AGAIN, fd, request, argument)

    def mmap(self, length: int | Arg, prot: int, flags: int, fd: int | Arg = -1, *, addr: int | Arg = 0) -> Arg:
        """mmap(2) at offset 0."""
        return self._append(Code.MMAP, addr, length, prot, flags, fd, 0)

    def munmap(self, addr: int | Arg, length: int) -> Arg:
        return self._append(Code.MUNMAP, addr, length)

    def peek(self, addr: int | Arg, length: int) -> Arg:
        """Reads ``length`` bytes at ``addr``; EFAULT if they are not mapped."""
        return self._append(Code.PEEK, addr, length)

    def poke(self, addr: int | Arg, data: bytes) -> Arg:
        """Writes ``data`` at ``addr``; EFAULT if there is no memory."""
        return self._append(Code.POKE, addr, data=data)

    def poke_address(self, addr: int | Arg, value: int | Arg) -> Arg:
        """Writes the 8 bytes of an address or result at ``addr``."""
        return self._append(Code.POKE_VALUE, addr, value)

    def syscall(self, number: int, *args: int | Arg) -> Arg:
        """syscall(2) with up to five arguments, for calls that have no method here."""
        return self._append(Code.SYSCALL, number, *args, *[0] * (5 - len(args)))

    def clock(self, clock_id: int) -> Arg:
        """clock_gettime(2), in ns."""
        return self._append(Code.CLOCK, clock_id)

    def barrier(self) -> Arg:
        """Waits until every thread of the stage waits at a barrier; EINTR at the deadline.

        If each thread has its own processor, the threads first spin for about a millisecond, and continue at the same
        time.
        """
        return self._append(Code.BARRIER)

    def read(self, fd: int | Arg, length: int) -> Arg:
        return self._append(Code.READ, fd, length)

    def write(self, fd: int | Arg, data: bytes) -> Arg:
        return self._append(Code.WRITE, fd, data=data)

    @contextmanager
    def concurrently(self) -> Iterator[Concurrent]:
        """A stage of threads that start together. Later operations run when all threads have ended."""
        stage: list[Thread] = []
        yield Concurrent(self, stage)
        if stage:
            self.stages.append(stage)
        self._current = Thread()
        self.stages.append([self._current])

    @contextmanager
    def forked(self) -> Iterator[Program]:
        """Operations appended inside the block run in a forked child, with copies of the fds and of private memory.

        If a call does not return before the deadline, the child is killed, and its remaining operations do not run.
        """
        self._current = Thread(forked=True)
        self.stages.append([self._current])
        try:
            yield self
        finally:
            self._current = Thread()
            self.stages.append([self._current])


@dataclass(frozen=True)
class Concurrent:
    """A concurrent stage being built."""

    program: Program
    stage: list[Thread]

    @contextmanager
    def thread(self, repeat: int = 1) -> Iterator[Program]:
        """Operations appended inside the block are one thread's list, which it runs ``repeat`` times."""
        before = self.program._current
        self.program._current = Thread(repeat)
        self.stage.append(self.program._current)
        try:
            yield self.program
        finally:
            self.program._current = before
