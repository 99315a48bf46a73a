# SPDX-License-Identifier: GPL-2.0-only
"""What the module does to end a kernel, a VM or a guest, and what a session must then say of the test that did it.

No proof of a clause: faults/prove.py plants none of these, each of which would cost the machine that all faults share.
tests/kernel/test_deaths.py does. All but ``guest-spins`` come when a bitmap register of a VM that has run is to be
changed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Death:
    """One way to end. ``says``: what the failed test's message must hold."""

    id: str
    what: str
    says: str


DEATHS = (
    Death("panics", "the kernel panics", "Kernel panic - not syncing: planted"),
    Death("oopses", "the kernel accesses what is not there, in the task that asked", "NULL pointer dereference"),
    Death("spins", "the kernel spins with interrupts off", "did not answer for"),
    Death("sleeps", "the task that asked sleeps, and no signal wakes it", "did not answer for"),
    Death("restarts", "the machine restarts", "powered off or rebooted"),
    Death("guest-spins", "the second vCPU never comes back by itself", "deadline"),
    Death("vm-dies", "the VM is marked dead: all its calls give EIO", "EIO"),
    Death("warns", "the kernel warns, once", "WARNING: "),
    Death("flakes", "the call gives EIO, once", "flaky: it failed, then passed when it was repeated"),
)
