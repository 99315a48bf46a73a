# SPDX-License-Identifier: GPL-2.0-only
"""How xdist's workers share the tests of one subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from helpers.plugin.scheduling import ByModule

TESTS = [
    "suites/concurrency/test_race.py::test_r[STD]",
    "suites/concurrency/test_other_race.py::test_r[STD]",
    "suites/concurrency/test_other_race.py::test_r[STD_HYP]",
    "suites/access/test_one.py::test_a[a::b]",
    "suites/access/test_one.py::test_a[c]",
    "suites/access/test_one.py::test_a[d]",
    "suites/lock/test_lock.py::test_l",
]


@dataclass
class Worker:
    """Keeps what it was asked to run."""

    sent: list[str] = field(default_factory=list)
    shutting_down: bool = False
    gateway: Any = field(default_factory=lambda: SimpleNamespace(id="gw"))

    def __hash__(self) -> int:
        return id(self)

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += [TESTS[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_module_goes_to_one_worker_in_the_order_of_the_collection() -> None:
    option = SimpleNamespace(loadscopereorder=True, maxfail=0)
    config: Any = SimpleNamespace(option=option, getvalue=lambda name: ["popen", "popen"], getoption=lambda *_: None)
    scheduling, workers = ByModule(config, None), [Worker(), Worker()]
    for worker in workers:
        scheduling.add_node(worker)
    for worker in workers:
        scheduling.add_node_collection(worker, TESTS)
    scheduling.schedule()
    assert workers[0].sent == TESTS[:3], "one worker gets all races, first"
    assert workers[1].sent == TESTS[3:6]
    scheduling.mark_test_complete(workers[0], 0)
    assert workers[0].sent == [*TESTS[:3], TESTS[6]]
