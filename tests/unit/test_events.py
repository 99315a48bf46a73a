# SPDX-License-Identifier: GPL-2.0-only
"""suites/events covers its pairs, and its table or its list of exclusions has every ioctl of the kernel's headers."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.contract.check import EBUSY, EINVAL
from helpers.contract.registers import MAINLINE, Register
from helpers.executor.program import DEADLINE_MS_PER_OPERATION, DEFAULT_DEADLINE_MS, Code
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi import syscalls
from suites.events import guest_events, observation, test_while_running
from suites.events.covering import Happening, chains
from suites.events.events import EventPlace
from suites.events.exclusions import NOT_EVENTS
from suites.events.perform import ACTORS, perform
from suites.events.scene import STATES, TOPOLOGIES, State, Topology
from suites.events.table import EVENTS
from tests.support import ROOT

HEADERS = [Path("/usr/aarch64-linux-gnu/include/linux/kvm.h"), Path("/usr/include/linux/kvm.h")]


def _placed() -> list[tuple[State, Topology, Happening]]:
    return [
        (chain.state, chain.topology, each)
        for chain in chains()
        for each in (*chain.happenings, *([chain.last] if chain.last else []))
    ]


def test_every_event_meets_every_topology_state_and_actor() -> None:
    placed, names = _placed(), [event.name for event in EVENTS]
    assert {(t.name, h.event.name) for _, t, h in placed} == set(product((t.name for t in TOPOLOGIES), names))
    assert {(s, h.event.name) for s, _, h in placed} == set(product(STATES, names))
    assert {(h.actor, h.event.name) for _, _, h in placed} == set(product(ACTORS, names))


def test_every_event_shows_a_change_of_each_bit_and_of_the_lock_in_every_topology() -> None:
    states: dict[tuple[str, str], set[State]] = {}
    for state, topology, happening in _placed():
        states.setdefault((happening.event.name, topology.name), set()).add(state)
    runs = {event.name: event.runs for event in EVENTS}
    for (event, _), held in states.items():
        assert {each.when for each in held} >= ({"after_run"} if runs[event] else {"after_run", "before_run"})
        for register in MAINLINE.registers:
            values = [each.values(MAINLINE.registers)[register.name] for each in held]
            assert any(v & register.mask for v in values)
            for bit in range(register.mask.bit_length()):
                assert {value >> bit & 1 for value in values} == {0, 1}, f"bit {bit} of {register.name} around {event}"


def test_only_the_last_event_locks_registers_of_a_vm_that_has_not_run() -> None:
    for chain in chains():
        runs = [each.event.runs for each in chain.happenings]
        assert chain.state.when == "after_run" or not any(runs)


def test_names_are_unique() -> None:
    for names in ([event.name for event in EVENTS], [chain.name for chain in chains()]):
        assert len(names) == len(set(names))


def test_every_ioctl_of_the_headers_is_an_event_or_excluded_with_a_reason() -> None:
    header = next((path for path in HEADERS if path.exists()), None)
    if header is None:
        pytest.fail("linux/kvm.h is not installed: run make setup")
    defined = set(re.findall(r"^#define (KVM_\w+)\s+_IO[RW]*\(KVMIO", header.read_text(), re.MULTILINE))
    events = {name for event in EVENTS for name in event.ioctls}
    assert len(defined) > 100
    assert not events & NOT_EVENTS.keys()
    assert sorted(defined - events - NOT_EVENTS.keys()) == []


class Writes:
    """A batch that keeps the written values."""

    def __init__(self) -> None:
        self.values: list[int] = []

    def set(self, vcpu: object, register: Register, value: int) -> None:
        self.values.append(value)

    def get(self, vcpu: object, register: Register) -> None:
        """No value is read."""


STD = MAINLINE.registers[0]


@pytest.mark.parametrize("register", [STD, replace(STD, unknown=1 << 63), replace(STD, bits=())], ids=str)
@pytest.mark.parametrize("locked", [False, True])
def test_each_write_has_the_error_that_the_register_defines(register: Register, locked: bool) -> None:
    writes, vcpu = Writes(), SimpleNamespace(index=0)
    rows: Any = observation._writes(writes, vcpu, register, register.mask, locked)  # type: ignore[arg-type]
    for value, row in zip(writes.values, [row for row in rows if row.value is None], strict=True):
        changed = EBUSY if locked and value != register.mask else 0
        assert row.errno == (EINVAL if value & ~register.mask else changed)
    assert any(value & ~register.mask for value in writes.values)
    # A write that is accepted and dropped is noticed.
    assert [row.value for row in rows if row.value is not None] == [register.mask if locked else 0, register.mask]


def performed(event: str, actor: str) -> KvmProgram:
    program = KvmProgram()
    numbers: dict[str, Any] = {each.name: 0 for each in fields(EventPlace)} | {
        "features": (),
        "registers": (),
        "values": {},
        "ids": (),
    }
    by_name = {each.name: each for each in EVENTS}
    perform(program, by_name[event], EventPlace(**numbers), actor)
    return program


def test_another_thread_is_not_the_main_thread() -> None:
    """The executor's main thread runs a stage of one thread."""
    for actor in ACTORS:
        stages = [stage for stage in performed("irq_line", actor).stages if any(thread.ops for thread in stage)]
        assert max(map(len, stages)) == (2 if actor == "another thread" else 1), actor


@pytest.mark.parametrize("actor", ACTORS)
def test_a_guest_that_does_not_come_back_gets_a_signal(actor: str) -> None:
    program = performed("psci_cpu_off", actor)
    threads = next(stage for stage in program.stages if len(stage) == 2)
    blocks, signals = ([op.args[:2] for _, op in thread.ops] for thread in threads)
    assert any(request.value == uapi.KVM_RUN for _, request in (each for each in blocks if len(each) == 2))
    assert any(number.value == syscalls.TGKILL for number, *_ in filter(None, signals))
    assert program.deadline_ms == DEFAULT_DEADLINE_MS + DEADLINE_MS_PER_OPERATION * program.op_count
    codes = [op.code for thread in threads for _, op in thread.ops]
    assert codes.count(Code.IOCTL_AGAIN) == 0, "KVM_RUN would be called again after the signal"


def test_protected_kvm_meets_no_event_that_needs_an_interrupt() -> None:
    """Some protected kernels lose the interrupt of KVM_IRQ_LINE, so that KVM_RUN would not return."""
    left_out = {event.name for event in EVENTS if not event.returns(late_vcpus=False)}
    assert left_out == {"psci_cpu_suspend", "psci_system_suspend", "traps"}
    assert all(event.returns(late_vcpus=True) for event in EVENTS)


def test_no_guest_overwrites_another() -> None:
    """The code of an event's guest, of the guest beside it, and the stolen-time areas do not overlap."""
    beside = MEMORY_IPA + test_while_running._CODE
    regions = [
        range(guest_events._CODE_IPA, guest_events._CODE_IPA + len(guest_events._CODE)),
        range(beside, MEMORY_IPA + test_while_running._LEFT + 4),
        range(PV_TIME_IPA, PV_TIME_IPA + 64 * max(len(topology.ids) for topology in TOPOLOGIES)),
    ]
    for first, second in combinations(regions, 2):
        assert first.stop <= second.start or second.stop <= first.start
    longest = max(map(len, test_while_running._GUESTS.values()))
    assert test_while_running._CODE + 4 * longest <= test_while_running._ENTERED


def test_the_tests_of_the_log_come_first() -> None:
    """A rate-limited line is not printed after tests that caused many of them."""
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "suites"]
    command = [sys.executable, "-m", "pytest", *words]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    of_log = [line.startswith("suites/left_behind/test_log.py") for line in lines if "::" in line]
    assert of_log == sorted(of_log, reverse=True) and any(of_log)
