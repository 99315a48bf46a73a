# SPDX-License-Identifier: GPL-2.0-only
"""This machine's kernel, with the executor in this process."""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Program
from helpers.identity import LOCAL
from helpers.subjects.base import GivenUp, KernelDied
from helpers.subjects.remote import EXECUTOR_SHARE, TimeLimit

DEVICE = Path("/dev/kvm")
_END_SECONDS = 1.0
"""For the end of a thread. One that waits for a request ends at once."""


def local_kvm_possible() -> bool:
    """Whether this is an arm64 machine that has /dev/kvm. ``start`` checks whether it can be opened."""
    return platform.machine() == "aarch64" and DEVICE.exists()


class _Caller:
    """A thread for the executor, so that Ctrl-C and a timeout end the wait for an answer."""

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
            except Exception as error:  # call() raises it
                self._answers.put(error)

    def call(self, request: bytes, seconds: float) -> bytes:
        """The answer. Raises TimeoutError after ``seconds``, and the executor's exceptions."""
        self._requests.put(request)
        try:
            answer = self._answers.get(timeout=seconds)
        except Empty:
            raise TimeoutError from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> bool:
        """Ends the thread. False if its call is still in the kernel."""
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
        self._limit = TimeLimit(self.label)

    def launch(self) -> None:
        """Nothing to boot."""

    def start(self) -> None:
        """Raises HarnessError if /dev/kvm is missing or cannot be opened, GivenUp if a call never returned."""
        if self._caller is not None:
            return
        if self._lost:
            why = "a call of an earlier test is still inside this machine's kernel"
            raise GivenUp(f"{self.label} is given up", why=why, cure="See dmesg, and reboot the machine")
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
        """Raises KernelDied if signals do not end a call, HarnessError if the test has no time left."""
        self.start()
        assert self._caller is not None
        left = self._limit.left()
        within = max(1, int(left * EXECUTOR_SHARE * 1000))
        try:
            return wire.decode(program, self._caller.call(wire.encode(program, deadline_ms=within), left))
        except TimeoutError:
            self.close()
            raise self._stuck(left) from None
        except BaseException:
            # After Ctrl-C, the late answer must not be read as the next program's.
            self.close()
            raise

    def _stuck(self, seconds: float) -> Exception:
        if self._lost and seconds >= self._limit.seconds / 2:
            how = f"a call did not return for {seconds:.0f} s, and signals did not end it, while this machine went on"
            return KernelDied(self.label, how, "(this machine's console is not read: see dmesg)")
        what = f"The executor of {self.label} did not answer within {seconds:.0f} s"
        return HarnessError(what, cure="Run again, with a longer --test-deadline on a slow machine")

    def begin_test(self, seconds: float) -> None:
        self._limit.begin(seconds)

    def begin_teardown(self, seconds: float) -> None:
        self._limit.extend(seconds)

    def untold(self) -> None:
        """None: this process does not outlive this kernel."""

    @property
    def alive(self) -> bool:
        return self._caller is not None

    def describe(self) -> dict[str, str]:
        return {"home": "this machine: not emulated", "executor": "in process"}

    def close(self) -> None:
        """Ends the thread, unless its call is still in the kernel."""
        if self._caller is not None:
            self._lost = not self._caller.end()
            self._caller = None
