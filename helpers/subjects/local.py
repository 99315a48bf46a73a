# SPDX-License-Identifier: GPL-2.0-only
"""This machine's own kernel, with the executor in this process."""

from __future__ import annotations

import math
import os
import platform
import time
from pathlib import Path

from helpers.errors import HarnessError
from helpers.executor import wire
from helpers.executor.native import Native
from helpers.executor.program import Answer, Program

DEVICE = Path("/dev/kvm")


def local_kvm_possible() -> bool:
    """Whether this is an arm64 machine that has /dev/kvm (access is start()'s business)."""
    return platform.machine() == "aarch64" and DEVICE.exists()


class Local:
    """The running kernel, called in process."""

    def __init__(self, shared_object: Path) -> None:
        self.label = "local"
        self.generation = 1
        self._shared_object = shared_object
        self._native: Native | None = None
        self._until = math.inf

    def launch(self) -> None:
        """There is nothing to wait for."""

    def start(self) -> None:
        """Raises HarnessError when /dev/kvm is missing or may not be opened."""
        if self._native is not None:
            return
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
        self._native = Native(self._shared_object)

    def run(self, program: Program) -> Answer:
        """Runs one program in this process."""
        if self._native is None:
            self.start()
        assert self._native is not None
        left = min(self._until - time.monotonic(), program.deadline_ms / 1000)
        return wire.decode(program, self._native.run(wire.encode(program, deadline_ms=max(1, int(left * 1000)))))

    def begin_test(self, seconds: float) -> None:
        """A test begins: blocked calls of its programs are interrupted after so long."""
        self._until = time.monotonic() + seconds

    def begin_teardown(self, seconds: float) -> None:
        """What cleans up after it has at least so long."""
        self._until = max(self._until, time.monotonic() + seconds)

    def untold(self) -> None:
        """Nobody is left to tell of this kernel's death."""

    @property
    def alive(self) -> bool:
        """Whether it is started."""
        return self._native is not None

    def describe(self) -> dict[str, str]:
        """Where it runs."""
        return {"home": "this machine: not emulated", "executor": "in process"}

    def close(self) -> None:
        """Nothing outlives the process."""
        self._native = None
