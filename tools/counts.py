# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin that counts round trips, operations and VMs for each chapter: ``-p tools.counts --counts FILE``.

The counts do not depend on the machine's speed, except in chapters that repeat calls until something happens.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from helpers.executor.program import Answer, Op, Program
from helpers.subjects.remote import Remote
from helpers.uapi import kvm as uapi


@dataclass
class ChapterCounts:
    """Of one chapter. ``tests`` includes those that are not applicable."""

    tests: int = 0
    round_trips: int = 0
    operations: int = 0
    vms: int = 0


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file for the counts."""
    parser.addoption("--counts", type=Path, required=True, metavar="FILE", help="write the counts as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Raises pytest.UsageError with xdist, whose workers each see a part."""
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("tools.counts counts in one process: run with -n 0")
    config.pluginmanager.register(_Counter(config.getoption("--counts")))


class _Counter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._chapters: dict[str, ChapterCounts] = defaultdict(ChapterCounts)
        self._current = ChapterCounts()
        """Before the first test, of no chapter."""
        self._patch = pytest.MonkeyPatch()

    def pytest_sessionstart(self) -> None:
        run = Remote.run

        def counting(remote: Remote, program: Program) -> Answer:
            self._count(program)
            return run(remote, program)

        self._patch.setattr(Remote, "run", counting)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._current = self._chapters[item.nodeid.split("/")[1]]
        self._current.tests += 1
        return (yield)

    def pytest_sessionfinish(self) -> None:
        self._patch.undo()
        counts = {chapter: asdict(each) for chapter, each in sorted(self._chapters.items())}
        self._path.write_text(json.dumps(counts, indent=1), "utf-8")

    def _count(self, program: Program) -> None:
        ops = [op for stage in program.stages for thread in stage for _, op in thread.ops]
        self._current.round_trips += 1
        self._current.operations += len(ops)
        self._current.vms += sum(map(_creates_vm, ops))


def _creates_vm(op: Op) -> bool:
    return len(op.args) > 1 and op.args[1].value == uapi.KVM_CREATE_VM and op.code.name.startswith("IOCTL")
