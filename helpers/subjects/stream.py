# SPDX-License-Identifier: GPL-2.0-only
"""Frames over two file descriptors, each with a deadline."""

from __future__ import annotations

import os
import select
import struct
import time

from helpers.errors import HarnessError
from helpers.executor import wire

_CHUNK = 1 << 16
"""Bytes of one read. Python allocates them for each, and malloc maps more than 128 KiB."""


class Stream:
    """One end of the connection to an executor. Owns its descriptors, which may be equal."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        for fd in {read_fd, write_fd}:
            os.set_blocking(fd, False)
        self._rest = bytearray()

    def send(self, body: bytes, until: float) -> None:
        """Sends one frame. Raises TimeoutError at ``until`` (time.monotonic), OSError if the other end is closed."""
        data = memoryview(struct.pack("<I", len(body)) + body)
        while data:
            try:
                data = data[os.write(self._write_fd, data) :]
            except BlockingIOError:
                self._wait(self._write_fd, select.POLLOUT, until)

    def receive(self, until: float) -> bytes:
        """One frame. After a TimeoutError, the next call continues it.

        Raises also EOFError, OSError, and HarnessError if the length exceeds wire.MAX_FRAME.
        """
        self._fill(4, until)
        (length,) = struct.unpack_from("<I", self._rest)
        if length > wire.MAX_FRAME:
            why = f"it announced {length} bytes"
            raise HarnessError("The executor's answer cannot be read", why=why, cure="Run again")
        self._fill(4 + length, until)
        body = bytes(self._rest[4 : 4 + length])
        del self._rest[: 4 + length]
        return body

    @property
    def ended(self) -> bool:
        """Whether the other end is closed. Data may still be unread."""
        poll = select.poll()
        poll.register(self._read_fd, 0)
        return bool(poll.poll(0))

    def _fill(self, size: int, until: float) -> None:
        while len(self._rest) < size:
            self._wait(self._read_fd, select.POLLIN, until)
            part = os.read(self._read_fd, _CHUNK)
            if not part:
                raise EOFError
            self._rest += part

    def _wait(self, fd: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(fd, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError

    def close(self) -> None:
        for fd in {self._read_fd, self._write_fd}:
            os.close(fd)
