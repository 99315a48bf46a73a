# SPDX-License-Identifier: GPL-2.0-only
"""Which slab caches suites/left_behind shrinks, in what order, and when it counts without."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.executor.program import Answer, Code, OpResult, Program
from helpers.kvm_program import KvmProgram
from suites.left_behind import growth
from suites.left_behind.slabs import close_caches, open_caches, shrink, shrinkable

CACHES = ("kmalloc-96", "kmalloc-8", "dma-kmalloc-8", "kmalloc-cg-8", "filp")


def operations(program: Program, code: Code) -> list[tuple[bytes, tuple[Any, ...]]]:
    """The data and the arguments of the operations with this code."""
    return [(op.data, op.args) for _, op in program.stages[0][0].ops if op.code is code]


@pytest.mark.parametrize(
    ("caches", "last"),
    [
        (CACHES, "kmalloc-8"),
        (("kmalloc-128", "kmalloc-1k", "kmalloc-192", "filp"), "kmalloc-128"),
        (("filp", "dentry"), "dentry"),
        (("kmalloc-rnd-01-8", "dentry"), "dentry"),
    ],
)
def test_the_cache_that_a_write_allocates_from_is_the_last(caches: tuple[str, ...], last: str) -> None:
    program = KvmProgram()
    files = open_caches(program, caches)
    opened = [data.decode().split("/")[4] for data, _ in operations(program, Code.OPEN)]
    assert sorted(opened) == sorted(caches) and opened[-1] == last
    shrink(program, files)
    close_caches(program, files)
    for code, data in ((Code.WRITE, b"1"), (Code.CLOSE, b"")):
        assert [(each, args[0]) for each, args in operations(program, code)] == [(data, file) for file in files]


@pytest.mark.parametrize(
    ("error", "seconds", "files", "exact"),
    [(0, 0.1, 1024, True), (errno.EACCES, 0.1, 1024, False), (0, 0.3, 1024, False), (0, 0.1, 204, False)],
    ids=["root", "user", "slow", "few_files"],
)
def test_counts_are_exact_only_if_each_cache_can_be_shrunk_in_time(
    error: int, seconds: float, files: int, exact: bool
) -> None:
    clock = iter((5, 5 + int(seconds * 1e9)))

    def result(index: int, code: Code) -> OpResult:
        if code is Code.CLOCK:
            return OpResult(next(clock), 0, True, b"")
        if code is Code.PEEK:
            return OpResult(0, 0, True, files.to_bytes(8, "little"))
        refused = error if code is Code.WRITE and index % len(CACHES) == 1 else 0
        return OpResult(-1 if refused else 1, refused, True, b"")

    def run(program: Program) -> Answer:
        ops = program.stages[0][0].ops
        return Answer(tuple((result(index, op.code),) for index, op in ops), expired=False)

    subject: Any = SimpleNamespace(run=run)
    assert shrinkable(subject, CACHES) == (CACHES if exact else ())


def test_each_look_shrinks_the_caches_before_it_reads() -> None:
    program = KvmProgram()
    files = open_caches(program, CACHES)
    growth.look(program, 5, caches=files)
    codes = [op.code for _, op in program.stages[0][0].ops]
    assert codes.count(Code.WRITE) == len(CACHES)
    assert codes.index(Code.READ) > max(place for place, code in enumerate(codes) if code is Code.WRITE)


@pytest.mark.parametrize(
    ("caches", "wanted", "made"),
    [(CACHES, 200, 40), (CACHES, 20, 10), (CACHES, 7, 7), ((), 200, 200)],
    ids=["a_fifth", "at_least_ten", "slow_kernel", "not_exact"],
)
def test_exact_counts_need_fewer_repetitions(
    caches: tuple[str, ...], wanted: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def run(
        self: growth.Meter, phases: list[tuple[growth.Act, int]], **given: object
    ) -> tuple[list[growth.Counts], int]:
        assert given["caches"] == caches
        ran.extend(repetitions for _, repetitions in phases)
        return [{"objects of filp": repetitions // 2} for _, repetitions in phases], 1

    monkeypatch.setattr(growth, "shrinkable", lambda subject, counted: caches)
    monkeypatch.setattr(growth.Meter, "_run", run)
    kvm: Any = SimpleNamespace(subject=None)
    grown = growth.Meter(kvm, lambda: 0.0)._grown(lambda program: None, wanted, CACHES)
    assert ran == [made, made] and grown == ["objects of filp"] * (made % 2 == 0)
