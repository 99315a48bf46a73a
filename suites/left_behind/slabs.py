# SPDX-License-Identifier: GPL-2.0-only
"""Exact counts of the slab allocator's objects.

/proc/slabinfo counts the free objects of a slab that a processor allocates from as used. Shrinking a cache moves these
slabs to the list of partial ones, whose free objects are counted (mm/slub.c, kmem_cache_shrink).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from helpers.executor.program import Arg
from helpers.kvm_program import KvmProgram
from helpers.subjects.base import Subject
from helpers.uapi import syscalls

_GENERAL = "kmalloc-"
_RLIMIT_NOFILE, _OTHER_FILES = 7, 200
"""The number of RLIMIT_NOFILE, and of files that are left for the calls that are measured."""
_LONGEST_NS = 200_000_000
"""On a machine with many processors, shrinking all caches takes longer than the calls that it saves."""


def open_caches(p: KvmProgram, caches: Iterable[str]) -> list[Arg]:
    """Opens the files that shrink these caches, which needs root (Documentation/ABI/testing/sysfs-kernel-slab).

    They stay open during a measurement, because kernfs frees an object some time after the close of each file. The
    cache of the smallest objects is the last one: each write allocates one (fs/kernfs/file.c, kernfs_fop_write_iter).
    """
    names = list(caches)
    sizes = [cache.removeprefix(_GENERAL) for cache in names if cache.startswith(_GENERAL)]
    smallest = min((int(size) for size in sizes if size.isdigit()), default=0)
    names.sort(key=f"{_GENERAL}{smallest}".__eq__)
    return [p.open(f"/sys/kernel/slab/{cache}/shrink", os.O_WRONLY | os.O_CLOEXEC) for cache in names]


def shrink(p: KvmProgram, files: Iterable[Arg]) -> list[Arg]:
    """Appends the writes that shrink the caches."""
    return [p.write(file, b"1") for file in files]


def close_caches(p: KvmProgram, files: Iterable[Arg]) -> None:
    """Closes the files."""
    for file in files:
        p.close(file)


def shrinkable(subject: Subject, caches: Iterable[str]) -> tuple[str, ...]:
    """The caches; none if one of them cannot be shrunk, if it takes too long, or if they are too many open files."""
    names, program = tuple(caches), KvmProgram()
    limits = program.scratch(16)
    program.syscall(syscalls.PRLIMIT64, 0, _RLIMIT_NOFILE, 0, limits)
    limit = program.peek(limits, 8)
    begin, done = program.clock(time.CLOCK_MONOTONIC), list[Arg]()
    for name in names:
        files = open_caches(program, (name,))
        done += shrink(program, files)
        close_caches(program, files)
    end = program.clock(time.CLOCK_MONOTONIC)
    answer = subject.run(program)
    refused = any(answer[each].errno or not answer[each].ran for each in done)
    slow = answer[end].ret - answer[begin].ret > _LONGEST_NS
    few = int.from_bytes(answer[limit].data, "little") < len(names) + _OTHER_FILES
    return () if refused or slow or few else names
