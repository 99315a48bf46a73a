# SPDX-License-Identifier: GPL-2.0-only
"""Measures what grows in the kernel while calls are repeated. The counts are from /proc.

Other processes allocate as well. A leak grows by at least one object for each repetition in every phase of refused
calls, and not in phases of other calls.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from helpers.batch import KvmError
from helpers.contract.check import Comparison
from helpers.errors import NotMeasured
from helpers.executor.program import Answer, Arg
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from helpers.uapi import syscalls
from suites.left_behind.slabs import close_caches, open_caches, shrink, shrinkable
from suites.support.threads import sleep

SLABS, MEMORY, ZONES = "/proc/slabinfo", "/proc/meminfo", "/proc/zoneinfo"
LOAD, STATUS = "/proc/loadavg", "/proc/self/status"
_READS = {SLABS: 24, MEMORY: 2, ZONES: 32, LOAD: 1, STATUS: 2}
"""The number of read(2) calls for each file. Each returns a page at most."""
_ROOM = 8192
OBJECTS = "objects of "
"""The start of the name of a slab cache's count."""
_SLAB = re.compile(r"^(\S+) +(\d+) +\d+ +\d+ +\d+ +\d+ :", re.MULTILINE)
_UNRECLAIMABLE = re.compile(r"^SUnreclaim: +(\d+) kB$", re.MULTILINE)
_NOT_RAW = re.compile(
    r"^ +(?:nr_free_pages|nr_anon_pages|nr_file_pages|nr_slab_\w+|nr_page_table_pages|count:) +(\d+)$", re.MULTILINE
)
"""Pages that are free, on a per-CPU free list, or used by processes, page tables or slabs. All others are raw pages."""
_TASKS = re.compile(r"\d+/(\d+)")
_THREADS = re.compile(r"^Threads:\s+(\d+)$", re.MULTILINE)
_SMALL_BYTES, _LEAST_KB = 32, 64
_SETTLE_NS = 50_000_000
"""Longer than an RCU grace period: closed files and VMs are freed after one."""
_EXACT_SETTLE_NS = 20_000_000
"""Exact counts show no objects of free slabs, and are confirmed with the longer time."""
_LAZY = frozenset(["vmap_area"])
"""mm/vmalloc.c frees memory at once, and its address ranges only when many have accumulated."""
FDS, THREADS, TASKS, PAGES, SLAB_KB = "fds", "threads of the process", "tasks", "raw pages", "kB of slabs"

Counts = Mapping[str, int]
_NUMBERS = ((SLAB_KB, _UNRECLAIMABLE, MEMORY), (TASKS, _TASKS, LOAD), (THREADS, _THREADS, STATUS))


@dataclass(frozen=True)
class Reading:
    """References to the results of one look()."""

    files: Mapping[str, tuple[Arg, ...]]
    fd: Arg

    def counts(self, answer: Answer) -> Counts:
        """The counts by name. A count that cannot be read is missing."""
        texts = {
            path: b"".join(answer[read].data for read in reads).decode("utf-8", "replace")
            for path, reads in self.files.items()
        }
        counts = {OBJECTS + name: int(n) for name, n in _SLAB.findall(texts[SLABS]) if name not in _LAZY}
        pages = [int(number) for number in _NOT_RAW.findall(texts[ZONES])]
        if pages:
            counts[PAGES] = -sum(pages)
        for name, pattern, path in _NUMBERS:
            if match := pattern.search(texts[path]):
                counts[name] = int(match[1])
        counts[FDS] = answer[self.fd].ret
        return counts


def look(p: KvmProgram, an_fd: int | Arg, *, settle_ns: int = _SETTLE_NS, caches: Sequence[Arg] = ()) -> Reading:
    """Appends reads of the counts after ``settle_ns``. ``caches`` are shrunk before, so that their counts are exact.

    A new fd, the lowest free number, shows how many are open.
    """
    sleep(p, settle_ns)
    shrink(p, caches)
    files = {}
    for path, reads in _READS.items():
        fd = p.open(path, os.O_RDONLY | os.O_CLOEXEC)
        files[path] = tuple(p.read(fd, _ROOM) for _ in range(reads))
        p.close(fd)
    copy = p.syscall(syscalls.DUP, an_fd)
    p.close(copy)
    return Reading(files, copy)


def least(name: str, repetitions: int) -> float:
    """The least growth of a count that can be a leak: half an object, or 32 bytes of slabs, for each repetition."""
    if name == SLAB_KB:
        return max(repetitions * _SMALL_BYTES / 1024, _LEAST_KB)
    return repetitions / 2


def deltas(looks: Sequence[Counts]) -> list[Counts]:
    """The growth from each look to the next."""
    return [{name: after[name] - before[name] for name in after if name in before} for before, after in pairwise(looks)]


def suspects(phases: Sequence[Counts], repetitions: int) -> list[str]:
    """The counts that grew enough in every phase."""
    names = set(phases[0]).intersection(*phases)
    return sorted(name for name in names if all(phase[name] >= least(name, repetitions) for phase in phases))


def leaks(phases: Sequence[Counts], controls: Sequence[Counts], repetitions: int) -> list[str]:
    """The counts that grew enough in all phases but one, and more than in all controls but one."""
    names = set(phases[0]).intersection(*phases, *controls)
    return sorted(
        name
        for name in names
        if sorted(phase[name] for phase in phases)[1]
        >= least(name, repetitions) + max(0, sorted(control[name] for control in controls)[-2])
    )


Act = Callable[[KvmProgram], None]
_LOOKS, _ROUNDS = 2, 5
_FEW, _MANY = 200, 2000
"""Repetitions in a phase. Without /proc/slabinfo the counts are pages, and a small leak needs many."""
_EXACT, _LEAST_EXACT = 5, 10
"""Divides the repetitions if the counts are exact, and the smallest number of them then."""
_WARM = 5
_LONGEST_NS = 5_000_000_000
"""The longest phase. On a slow kernel, a phase has fewer repetitions."""


@dataclass(frozen=True)
class Meter:
    """Repeats calls and measures what grows. ``renew`` restarts the test's timeout.

    ``in_children``: a forked child makes each repetition, and ends.
    """

    kvm: Kvm
    renew: Callable[[], float]
    in_children: bool = False

    def _run(
        self, phases: Sequence[tuple[Act, int]], *, settle_ns: int = _SETTLE_NS, caches: Sequence[str] = ()
    ) -> tuple[list[Counts], int]:
        """Runs phases of repeated calls. Returns the growth in each one, and the time of all (ns). Raises KvmError."""
        self.renew()
        program = KvmProgram(deadline_ms=60_000)
        files = open_caches(program, caches)
        looks = [look(program, self.kvm.fd, settle_ns=settle_ns, caches=files)]
        begin = program.clock(time.CLOCK_MONOTONIC)
        for act, repetitions in phases:
            self._repeat(program, act, repetitions)
            end = program.clock(time.CLOCK_MONOTONIC)
            looks.append(look(program, self.kvm.fd, settle_ns=settle_ns, caches=files))
        close_caches(program, files)
        answer = self.kvm.subject.run(program)
        if answer.expired:
            raise KvmError("repeated calls did not end before the deadline")
        return deltas([each.counts(answer) for each in looks]), answer[end].ret - answer[begin].ret

    def _repeat(self, program: KvmProgram, act: Act, repetitions: int) -> None:
        if not self.in_children:
            with program.concurrently() as stage, stage.thread(repeat=repetitions):
                act(program)
            return
        for _ in range(repetitions):
            with program.forked():
                act(program)

    def _repetitions(self, act: Act, few: int) -> tuple[int, tuple[str, ...]]:
        """The repetitions in a phase, and the counted slab caches.

        Raises NotMeasured if /proc has no count, or if the calls are too slow.
        """
        (counts,), ns = self._run([(act, _WARM)], settle_ns=0)
        caches = tuple(name.removeprefix(OBJECTS) for name in counts if name.startswith(OBJECTS))
        if not caches and SLAB_KB not in counts:
            raise NotMeasured(f"neither {SLABS} nor {MEMORY} can be read")
        wanted = few if caches else few * _MANY // _FEW
        possible = _LONGEST_NS * _WARM // max(1, ns)
        if possible < wanted // 4:
            raise NotMeasured(f"{_WARM} repetitions take {ns / 1e9:.1f} s here, and {wanted} are needed")
        return min(wanted, possible), caches

    def _grown(self, act: Act, repetitions: int, counted: Sequence[str]) -> list[str]:
        """The counts that grow, which may be by chance. Exact counts need fewer repetitions."""
        caches = shrinkable(self.kvm.subject, counted)
        enough = min(repetitions, max(_LEAST_EXACT, repetitions // _EXACT)) if caches else repetitions
        settle_ns = _EXACT_SETTLE_NS if caches else _SETTLE_NS
        phases, _ = self._run([(act, enough)] * _LOOKS, settle_ns=settle_ns, caches=caches)
        return suspects(phases, enough)

    def compare(self, comparison: Comparison, what: str, act: Act, control: Act, *, few: int = _FEW) -> None:
        """Compares that nothing grows with the repetitions of ``act``. ``few`` are enough if slabs can be counted.

        ``control`` makes about as many calls, which leave nothing. It runs only if a count grew. Raises NotMeasured.
        """
        repetitions, caches = self._repetitions(act, few)
        grown = self._grown(act, repetitions, caches)
        rows = self._confirmed(act, control, repetitions) if grown else []
        text = "; ".join(f"{name}: {', '.join(map(str, numbers))} more" for name, numbers in rows if name in grown)
        comparison.that(not text, f"growth in {_ROUNDS} rounds of {repetitions} times {what}", "none", text)

    def _confirmed(self, act: Act, control: Act, repetitions: int) -> list[tuple[str, list[int]]]:
        """The leaks, with their growth in each round. A round is a phase of ``control`` and a phase of ``act``."""
        rounds = [self._run([(control, repetitions), (act, repetitions)])[0] for _ in range(_ROUNDS)]
        controls, phases = [each[0] for each in rounds], [each[1] for each in rounds]
        return [(name, [phase[name] for phase in phases]) for name in leaks(phases, controls, repetitions)]
