# SPDX-License-Identifier: GPL-2.0-only
"""A thread makes calls while another one changes the memory from which they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from helpers.executor.program import Arg
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from suites.support.threads import arrangements, join_race, sleep, timespec

PAUSE_NS = 20_000
"""The sleep before each change if both threads share a core: a thread that wakes up interrupts the other's call."""
FEWEST, MOST = 3_200, 6_400
"""Changes in the first program, and the most in a later one."""
PARTS = 8


@contextmanager
def changing(
    kvm: Kvm, program: KvmProgram, at: Arg, values: tuple[int, int], changes: int, *, together: bool
) -> Iterator[None]:
    """The block appends the calls of one thread. Another one writes each of ``values`` in turn to the byte at ``at``.

    ``together``: both threads share a core.

    The block must append a barrier before each of PARTS equal groups of calls, so that the threads keep the same pace
    on a busy host.

    Only one byte changes, because a copy of several need not be atomic (Arm DDI 0487, B2.2). The first write is the
    second of ``values``.
    """
    pause = timespec(program, PAUSE_NS) if together else None
    with program.concurrently() as stage:
        with stage.thread():
            join_race(program, kvm.placement, 0, core=0)
            yield
        with stage.thread(repeat=PARTS):
            join_race(program, kvm.placement, 1, core=0 if together else 1)
            program.barrier()
            for number in range(1, changes // PARTS + 1):
                if pause is not None:
                    sleep(program, pause)
                program.poke(at, bytes([values[number % 2]]))


def share_a_core(kvm: Kvm, met: int, programs: int, most: int) -> bool:
    """Whether both threads of the next program share a core, after ``programs`` of ``most`` with ``met`` changes.

    Two cores of a busy emulator may never run at the same time. Without a change in half of the programs, the threads
    share a core.
    """
    return arrangements(kvm)[0 if met or programs < most // 2 else -1]


def switches(results: Sequence[object]) -> int:
    """How often a result differs from the one before it: the memory has changed in between."""
    return sum(a != b for a, b in pairwise(results))


def more_changes(changes: int, met: int, calls: int) -> int:
    """The changes of the next program: twice as many if the memory changed (``met``) between few of the ``calls``."""
    return changes * 2 if met < calls // 8 and changes < MOST else changes
