# SPDX-License-Identifier: GPL-2.0-only
"""This machine's kernel, with the executor in this process."""

from __future__ import annotations

import errno
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
from helpers.subjects.files import require_files
from helpers.subjects.privilege import as_root
from helpers.subjects.remote import EXECUTOR_SHARE, TimeLimit
from helpers.subjects.turns import NoTurns, Turns

DEVICE = Path("/dev/kvm")
_MORE_FILES = (
    "Run {prlimit} in this shell (for a container: docker run --ulimit nofile={{files}}), and run again"
).format(prlimit=as_root("prlimit --pid=$$ --nofile={files}"))
_END_SECONDS = 1.0
"""Seconds to wait for the end of the thread. A thread that waits for a request ends immediately."""


def processor() -> str:
    """This machine's processor as uname names it: aarch64 on arm64."""
    return platform.machine()


def check_device() -> None:
    """Raises HarnessError if /dev/kvm is missing or cannot be opened."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise _unusable(error) from None


def _unusable(error: OSError) -> HarnessError:
    if error.errno == errno.ENOENT:
        what, why = "does not exist", "this kernel has no KVM, or was not started at EL2"
        cure = "Use a kernel with KVM that is started at EL2 (in a container: pass the device to it)"
    elif error.errno == errno.EACCES:
        what, why = "may not be opened by this user", "permission denied"
        cure = "Add the user to the group kvm (usermod -aG kvm USER) and log in again"
    else:
        what, why = "cannot be opened", error.strerror or str(error)
        cure = "Make KVM usable (in a container: pass the device to it)"
    return HarnessError(
        f"{DEVICE} {what}", why=why, cure=f"{cure}, or test a kernel in QEMU with --kernel=debian:stable"
    )


class _Caller:
    """A thread that runs the executor, so that Ctrl-C and a timeout can end the wait for an answer."""

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

    def __init__(self, shared_object: Path, turns: Turns | None = None) -> None:
        self.id, self.label = LOCAL, LOCAL.label
        self._turns = turns or NoTurns()
        self.generation = self.ends = 0
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
        check_device()
        self._caller = _Caller(Native(self._shared_object))
        self.generation += 1

    def run(self, program: Program) -> Answer:
        """Raises KernelDied if signals do not end a call, HarnessError if the test has no time or no files left."""
        answer = self._answer(program)
        require_files(program, answer, self._answer, self.label, _MORE_FILES)
        return answer

    def _answer(self, program: Program) -> Answer:
        self.start()
        with self._turns.turn(alone=program.alone) as waited:
            self._limit.add(waited)
            return self._answer_now(program)

    def _answer_now(self, program: Program) -> Answer:
        assert self._caller is not None
        left = self._limit.left()
        within = max(1, int(left * EXECUTOR_SHARE * 1000))
        try:
            return wire.decode(program, self._caller.call(wire.encode(program, deadline_ms=within), left))
        except TimeoutError:
            self.close()
            self.ends += self._lost
            raise self._stuck(left) from None
        except BaseException:
            # After Ctrl-C, a late answer must not be taken for the next program's.
            self.close()
            raise

    def _stuck(self, seconds: float) -> Exception:
        if self._lost and seconds >= self._limit.seconds / 2:
            how = f"a call did not return for {seconds:.0f} s, and signals did not end it; the machine still runs"
            return KernelDied(self.label, how, "(this machine's console is not read: see dmesg)")
        what = f"The executor of {self.label} did not answer within {seconds:.0f} s"
        return HarnessError(what, cure="Run again, with a longer --test-deadline on a slow machine")

    def use_processors(self, *, every: bool) -> bool:
        """The machine's processors are left alone."""
        return False

    def begin_test(self, seconds: float | None) -> float:
        return self._limit.begin(seconds)

    def begin_teardown(self, seconds: float) -> None:
        self._limit.extend(seconds)

    def untold(self) -> None:
        """Always None, because this process ends if this kernel dies."""

    @property
    def alive(self) -> bool:
        return self._caller is not None

    def describe(self) -> dict[str, str]:
        return {"runs on": "this machine: not emulated", "executor": "in process"}

    def close(self) -> None:
        """Ends the thread, unless its call is still in the kernel."""
        if self._caller is not None:
            self._lost = not self._caller.end()
            self._caller = None
