# SPDX-License-Identifier: GPL-2.0-only
"""This machine's own kernel, with the executor in this process."""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Program
from helpers.identity import LOCAL
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.remote import DEFAULT_SECONDS, EXECUTOR_SHARE, out_of_time

DEVICE = Path("/dev/kvm")
_END_SECONDS = 1.0
"""For a thread that is told to end: one that waits for work does so at once."""


def local_kvm_possible() -> bool:
    """Whether this is an arm64 machine that has /dev/kvm (access is start()'s business)."""
    return platform.machine() == "aarch64" and DEVICE.exists()


class _Caller:
    """A thread of its own for the executor: who waits for its answer can be interrupted, and can give it up."""

    def __init__(self, native: Native) -> None:
        self._native = native
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._answers: SimpleQueue[bytes | Exception] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._answers.put(self._native.run(request))
            except Exception as error:  # handed to who waits
                self._answers.put(error)

    def call(self, request: bytes, seconds: float) -> bytes:
        """The answer. Raises TimeoutError after so long, and what the executor raised."""
        self._requests.put(request)
        try:
            answer = self._answers.get(timeout=seconds)
        except Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> bool:
        """Whether it ended at once, as one does whose call is not in the kernel any more."""
        self._requests.put(None)
        self._thread.join(_END_SECONDS)
        return not self._thread.is_alive()


class Local:
    """The running kernel, called in process."""

    def __init__(self, shared_object: Path) -> None:
        self.id, self.label = LOCAL, LOCAL.label
        self.generation = 0
        self._shared_object = shared_object
        self._caller: _Caller | None = None
        self._lost = False
        self._until, self._allowed = 0.0, DEFAULT_SECONDS

    def launch(self) -> None:
        """There is nothing to wait for."""

    def start(self) -> None:
        """Raises HarnessError when /dev/kvm is missing or may not be opened, GivenUp when a call never returned."""
        if self._caller is not None:
            return
        if self._lost:
            raise GivenUp(
                f"{self.label} is given up", why="a call of an earlier test is still inside this machine's kernel",
                cure="Look at what it says (dmesg), and reboot the machine",
            )  # fmt: skip
        if not DEVICE.exists():
            raise HarnessError(
                f"{DEVICE} does not exist",
                why="this kernel has no KVM, or was not started at EL2",
                cure="Choose a kernel to boot in QEMU with --kernel",
            )
        if not os.access(DEVICE, os.R_OK | os.W_OK):
            raise HarnessError(
                f"{DEVICE} may not be opened by this user",
                why="permission denied",
                cure="Add the user to the group kvm (usermod -aG kvm USER) and log in again",
            )
        self._caller = _Caller(Native(self._shared_object))
        self.generation += 1

    def run(self, program: Program) -> Answer:
        """Runs one program in this process.

        Raises KernelDied for a call that is not even interrupted, HarnessError for a test that is out of time.
        """
        self.start()
        assert self._caller is not None
        left = self._left()
        within = max(1, int(left * EXECUTOR_SHARE * 1000))
        try:
            return wire.decode(program, self._caller.call(wire.encode(program, deadline_ms=within), left))
        except TimeoutError:
            self.close()
            raise self._stuck(left) from None
        except BaseException:
            # The answer that Ctrl-C did not wait for must not be taken for the next one's.
            self.close()
            raise

    def _left(self) -> float:
        if not self._until:
            return self._allowed
        left = self._until - time.monotonic()
        if left <= 0:
            raise out_of_time(self.label, self._allowed)
        return left

    def _stuck(self, seconds: float) -> Exception:
        if self._lost and seconds >= self._allowed / 2:
            how = f"a call did not return for {seconds:.0f} s, and signals did not end it, while this machine went on"
            return KernelDied(self.label, how, "(this machine's console is not read: see dmesg)")
        what = f"The executor of {self.label} did not answer within {seconds:.0f} s"
        return HarnessError(what, cure="Run again, with a longer --test-deadline on a slow machine")

    def begin_test(self, seconds: float) -> None:
        """A test begins: its programs have so long in all."""
        self._until, self._allowed = time.monotonic() + seconds, seconds

    def begin_teardown(self, seconds: float) -> None:
        """What cleans up after it has at least so long."""
        self._until = max(self._until, time.monotonic() + seconds)

    def untold(self) -> None:
        """Nobody is left to tell of this kernel's death."""

    @property
    def alive(self) -> bool:
        """Whether it is started."""
        return self._caller is not None

    def describe(self) -> dict[str, str]:
        """Where it runs."""
        return {"home": "this machine: not emulated", "executor": "in process"}

    def close(self) -> None:
        """Nothing outlives the process, except a call that the kernel keeps."""
        if self._caller is not None:
            self._lost = not self._caller.end()
            self._caller = None
