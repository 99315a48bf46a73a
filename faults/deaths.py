# SPDX-License-Identifier: GPL-2.0-only
"""Faults that end a kernel, a VM or a guest, and the text that the failed test's message must contain.

tests/kernel/test_deaths.py plants them; faults/prove.py does not, because each ends the machine that all faults
share. All but ``guest-spins`` trigger at a change of a bitmap register of a VM that has run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Death:
    """One fault. The failed test's message must contain ``says``."""

    id: str
    what: str
    says: str


DEATHS = (
    Death("panics", "the kernel panics", "Kernel panic - not syncing: planted"),
    Death("oopses", "the calling task dereferences NULL in the kernel", "NULL pointer dereference"),
    Death("spins", "the kernel spins with interrupts off", "did not answer for"),
    Death("sleeps", "the calling task sleeps, and no signal wakes it", "did not answer for"),
    Death("restarts", "the machine restarts", "powered off or rebooted"),
    Death("guest-spins", "the second vCPU never leaves its guest", "deadline"),
    Death("vm-dies", "the VM is marked dead: all its calls give EIO", "EIO"),
    Death("warns", "the kernel warns, once", "WARNING: "),
    Death("flakes", "the call gives EIO, once", "flaky: it failed, then passed when it was repeated"),
)
