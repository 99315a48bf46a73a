# SPDX-License-Identifier: GPL-2.0-only
"""What suites/left_behind takes for a leak, a flood of the log and a written byte, and what suites/history covers."""

from __future__ import annotations

import errno
import struct
from collections import Counter
from itertools import groupby, pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.executor.program import Answer, Arg, ArgType, Code, OpResult
from helpers.kvm_program import KvmProgram
from suites.history.test_history import CHANGE, IN_A_ROW, KINDS, MANY, READ, REFUSED, SAME, kinds
from suites.left_behind import growth
from suites.left_behind.addresses import AddressPurge, address_purge
from suites.left_behind.log_lines import flood, masked, without_warnings
from suites.left_behind.refusals import CANARY, RefusedCall

SLABS = b"""slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
kmalloc-64          1234   1280     64   64    1 : tunables    0    0    0 : slabdata     20     20      0
vmap_area             99     99     64   64    1 : tunables    0    0    0 : slabdata      2      2      0
:A-0000192            17     42    192   21    1 : tunables    0    0    0 : slabdata      2      2      0
"""
MEMORY = b"MemAvailable: 600 kB\nSUnreclaim: 77 kB\nHugePages: 0\n"
ZONES = b"""Node 0, zone      DMA
  per-node stats
      nr_anon_pages 20
      nr_vmscan_write 1000
  pages free     600
      nr_free_pages 600
  pagesets
    cpu: 0
              count: 4
              high:  500
"""
TEXTS = {
    growth.SLABS: SLABS,
    growth.MEMORY: MEMORY,
    growth.ZONES: ZONES,
    growth.LOAD: b"0.00 0.01 0.05 1/93 7\n",
    growth.STATUS: b"Name:\tkhx\nThreads:\t3\n",
}


def read(texts: dict[str, bytes]) -> growth.Counts:
    """The counts of /proc with these texts; a missing file cannot be read."""
    program = KvmProgram()
    reading = growth.look(program, 5)
    results = [(OpResult(0, 0, True, b""),)] * program.op_count
    for path, reads in reading.files.items():
        for index, part in enumerate((texts.get(path, b"")[:100], texts.get(path, b"")[100:])[: len(reads)]):
            whole = part if len(reads) > 1 else texts.get(path, b"")
            results[reads[index].index] = (OpResult(len(whole), 0, True, whole),)
    results[reading.fd.index] = (OpResult(9, 0, True, b""),)
    return reading.counts(Answer(tuple(results), expired=False))


def test_counts() -> None:
    assert read(TEXTS) == {
        "objects of kmalloc-64": 1234, "objects of :A-0000192": 17, growth.PAGES: -624, growth.SLAB_KB: 77,
        growth.TASKS: 93, growth.THREADS: 3, growth.FDS: 9,
    }  # fmt: skip


def test_what_cannot_be_read_is_missing() -> None:
    assert read({growth.MEMORY: b"SUnreclaim: 77 kB\n"}) == {growth.SLAB_KB: 77, growth.FDS: 9}
    assert read({}) == {growth.FDS: 9}


def test_a_leak_grows_in_every_phase() -> None:
    slow, fast = {"objects": 130, "fds": 0}, {"objects": 300, "fds": 400}
    assert growth.suspects([slow, fast], 200) == ["objects"]
    assert growth.suspects([{"objects": 99}, fast], 200) == []
    assert growth.suspects([{"other": 500}, fast], 200) == []


@pytest.mark.parametrize(
    ("phases", "controls", "leaks"),
    [
        ([200, 190, 210, 200, 200], [0, 3, -5, 0, 0], True),
        ([200, 190, 210, 200, -900], [0, 3, -5, 0, 900], True),
        ([200, 190, 210, 200, 200], [180, 220, 200, 190, 210], False),
        ([400, -400, 500, -500, 300], [0, 0, 0, 0, 0], False),
        ([20, 30, 20, 30, 20], [0, 0, 0, 0, 0], False),
    ],
    ids=["leak", "leak_and_noise", "growth_of_others", "noise", "less_than_a_leak"],
)
def test_growth_in_the_control_is_no_leak(phases: list[int], controls: list[int], leaks: bool) -> None:
    found = growth.leaks([{"n": each} for each in phases], [{"n": each} for each in controls], 200)
    assert found == (["n"] if leaks else [])


def test_a_slab_has_a_least_growth() -> None:
    assert growth.least(growth.PAGES, 200) == 100
    assert growth.least(growth.SLAB_KB, 2000) == 64
    assert growth.least(growth.SLAB_KB, 20_000) == 625


OURS, OTHERS = "kvm [N]: refused", "of another thread: refused"


@pytest.mark.parametrize(
    ("first", "second", "control", "lines"),
    [
        ({OURS: 12}, {OURS: 12}, {}, [OURS]),
        ({OURS: 10}, {}, {}, [OURS]),
        ({}, {OURS: 1}, {}, [OURS]),
        ({OURS: 1}, {}, {}, []),
        ({OURS: 2}, {OURS: 2}, {OURS: 1}, []),
        ({OTHERS: 4}, {OTHERS: 5}, {}, []),
        ({"refused": 12}, {"refused": 12}, {}, ["refused"]),
        ({"eth0: up": 12}, {"eth0: up": 9}, {"eth0: up": 8}, []),
        ({"eth0: up": 12}, {}, {}, []),
    ],
    ids=["flood", "rate_limited", "late", "once", "others", "another_vmm", "unnamed", "network", "burst"],
)
def test_lines_that_come_with_the_calls(
    first: dict[str, int], second: dict[str, int], control: dict[str, int], lines: list[str]
) -> None:
    assert flood([Counter(first), Counter(second)], Counter(control)) == lines


def test_the_thread_of_a_line() -> None:
    assert masked("kvm [17]: bad id 0x60af", 17) == "kvm [N]: bad id N"
    assert "kvm" not in masked("kvm [18]: bad id 0x60af", 17)


def test_bytes_around_an_argument() -> None:
    at, size = Arg(ArgType.SCRATCH, 0, 0), len(CANARY)
    before = bytes(2 * size + 16)
    call = RefusedCall("", 3, 4, at, at, len(before))
    listing = RefusedCall("", 3, 4, at, at, len(before), counts=True)
    for offset, changed, of_list in ((-1, [-1], [-1]), (0, [0], []), (7, [7], []), (8, [8], [8]), (47, [47], [47])):
        after = bytearray(before)
        after[size + offset] = 1
        assert call.changed(before, bytes(after)) == changed
        assert listing.changed(before, bytes(after)) == of_list
    assert not call.changed(before, before)


def test_every_count_of_every_kind_comes_before_every_other_kind() -> None:
    rows = [(kind, len(list(same))) for kind, same in groupby(kinds())]
    follows = {(kind, count, after) for (kind, count), (after, _) in pairwise(rows)}
    for kind in (CHANGE, SAME, REFUSED):
        for other in (each for each in KINDS if each != kind):
            assert {count for before, count, after in follows if (before, after) == (kind, other)} >= set(
                range(1, IN_A_ROW + 1)
            )
    assert {kind for kind, count in rows if count >= MANY} == set(KINDS)
    totals = Counter(kinds())
    assert min(totals[kind] for kind in (CHANGE, SAME, REFUSED, READ)) > 2 * MANY


def test_a_warning_of_another_driver_is_noflood() -> None:
    """Its list of modules may name KVM. A line that is also outside of the warning counts there."""
    warning = [
        "------------[ cut here ]------------",
        "WARNING: CPU: 0 PID: 7 at drivers/net/other.c:9 other_poll+0x1/0x2",
        "Modules linked in: kvm_other(OE)",
        "kvm [7]: refused",
        "Call trace:",
        " other_poll+0x1/0x2",
        "---[ end trace 0000000000000000 ]---",
    ]
    refused = ["kvm [7]: refused", "kvm [7]: refused again"]
    assert sorted(without_warnings([refused[0], *warning, refused[1]])) == refused


@pytest.mark.parametrize(
    ("online", "page", "ipa_bits", "slot", "times"),
    [
        ("0", 4096, 40, 1 << 37, 5),
        ("0-1", 4096, 40, 1 << 37, 9),
        ("0-95,97", 65536, 40, 1 << 39, 113),
        ("0-3", 16384, 36, 1 << 35, 193),
        ("", None, 40, 1 << 37, 13),
    ],
)
def test_address_purge(online: str, page: int | None, ipa_bits: int, slot: int, times: int) -> None:
    """The bitmaps of all slots exceed 32 MiB for each bit of the number of processors, whatever can be read."""
    auxv = b"" if page is None else struct.pack("<6Q", 33, 1, 6, page, 0, 0)
    texts = iter((online.encode(), auxv))

    def run(program: KvmProgram) -> Answer:
        codes = [op.code for _, op in program.stages[0][0].ops]
        return Answer(
            tuple((OpResult(0, 0, True, next(texts) if code is Code.READ else b""),) for code in codes), expired=False
        )

    placement = SimpleNamespace(allowed=(0, 1, 2, 3))
    kvm: Any = SimpleNamespace(subject=SimpleNamespace(run=run), placement=placement, ipa_bits=ipa_bits)
    purge = address_purge(kvm)
    assert (purge.slot, purge.times) == (slot, times)
    program = KvmProgram()
    purge.add(program, 5)
    assert len(purge.calls) == times and program.op_count == 2 * times + 1


def test_a_refused_slot() -> None:
    purge = AddressPurge(1 << 37, 2)
    purge.add(KvmProgram(), 5)
    results = [(OpResult(0, 0, True, b""),)] * 5
    assert purge.refusal(Answer(tuple(results), expired=False)) == ""
    results[purge.calls[1].index] = (OpResult(-1, errno.ENOMEM, True, b""),)
    assert purge.refusal(Answer(tuple(results), expired=False)) == "ENOMEM"
