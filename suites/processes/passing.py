# SPDX-License-Identifier: GPL-2.0-only
"""Passes fds through a UNIX socket (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from helpers.executor.program import Answer, Arg
from helpers.kvm_program import KvmProgram
from helpers.uapi import syscalls

_CONTROL = struct.pack("<Q2iQ", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, 0)
"""struct cmsghdr with one fd: its length without padding, level, type, and the fd with padding."""
_FD = 16
_POINTERS = (16, 32)
"""Offsets of msg_iov and msg_control in struct msghdr."""


class Received(NamedTuple):
    """``fd`` is the number that the kernel must choose; ``control`` is the PEEK of the control message."""

    fd: Arg
    done: Arg
    control: Arg

    def arrived(self, answer: Answer) -> bool:
        """Whether the message came with an fd of that number."""
        (number,) = struct.unpack_from("<i", answer[self.control].data, _FD)
        return answer[self.done].ret == 1 and number == answer[self.fd].ret


def socket_pair(p: KvmProgram, an_fd: int | Arg) -> tuple[Arg, Arg]:
    """Appends socketpair(2). Returns its fds' numbers, computed from the lowest free ones. ``an_fd`` is any open fd."""
    first, second = _next_fd(p, an_fd), _next_fd(p, an_fd, skip=1)
    p.syscall(syscalls.SOCKETPAIR, socket.AF_UNIX, socket.SOCK_STREAM, 0, p.scratch(8))
    return first, second


def _next_fd(p: KvmProgram, an_fd: int | Arg, skip: int = 0) -> Arg:
    """The number that the kernel gives to the next fd, or to the one after it: the lowest that is free."""
    copies = [p.syscall(syscalls.DUP, an_fd) for _ in range(skip + 1)]
    for copy in copies:
        p.close(copy)
    return copies[-1]


def _message(p: KvmProgram) -> tuple[Arg, Arg]:
    """A struct msghdr for one byte and one fd, and its control message."""
    byte, vector, header = p.scratch_bytes(b"k"), p.scratch_bytes(struct.pack("<2Q", 0, 1)), p.scratch(56)
    control = p.scratch_bytes(_CONTROL)
    p.poke_address(vector, byte)
    p.poke(header, struct.pack("<7Q", 0, 0, 0, 1, 0, len(_CONTROL), 0))
    for at, value in zip(_POINTERS, (vector, control), strict=True):
        p.poke_address(header + at, value)
    return header, control


def send_fd(p: KvmProgram, to: Arg, fd: int | Arg) -> None:
    """sendmsg(2) of one fd to the socket ``to``."""
    header, control = _message(p)
    if isinstance(fd, Arg):
        p.poke_address(control + _FD, fd)
    else:
        p.poke(control + _FD, struct.pack("<i", fd))
    p.syscall(syscalls.SENDMSG, to, header, 0)


def receive_fd(p: KvmProgram, socket_fd: Arg) -> Received:
    """recvmsg(2) of one fd, which must have been sent before."""
    header, control = _message(p)
    p.poke(control + _FD, struct.pack("<i", -1))
    fd = _next_fd(p, socket_fd)
    done = p.syscall(syscalls.RECVMSG, socket_fd, header, socket.MSG_DONTWAIT)
    return Received(fd, done, p.peek(control, len(_CONTROL)))
