# SPDX-License-Identifier: GPL-2.0-only
"""Events while another vCPU is inside its guest: KVM refuses some calls then, and returns from them early."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from helpers.batch import Batch, Pending
from helpers.contract.check import EBUSY, Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.errors import NotMeasured
from helpers.executor.program import Arg
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.kvm import Kvm, Vm
from helpers.kvm_program import PC
from suites.events.events import NeutralEvent
from suites.events.observation import StateView, compare_guests, compare_state, observe_state
from suites.events.perform import perform
from suites.events.scene import TOPOLOGIES, Scene, State, place_in, scene_of
from suites.events.table import EVENTS
from suites.support.run_signal import RunSignal
from suites.support.threads import sleep

_CODE = PV_TIME_IPA + 0xB00 - MEMORY_IPA
"""Offset in the guest's memory. No other guest and no stolen-time area uses it."""
_BEGINS = (
    0x10000401,  # adr x1, _ENTERED
    0x52800020,  # mov w0, #1
    0x52807D02,  # mov w2, #1000
    0xB9000020,  # str w0, [x1]
    0xD5033F9F,  # dsb sy
    # The store is not cacheable without the MMU. The host may have read its line into a cache at any time.
    0xD50B7E21,  # 0: dc civac, x1
    0xD5033F9F,  # dsb sy
    0x71000442,  # subs w2, w2, #1
    0x54FFFFA1,  # b.ne 0b
)
_STAYS = 0x14000000
"""b ."""
_GUESTS = {
    "runs": (*_BEGINS, _STAYS),
    "waits": (*_BEGINS, 0xD503207F, _STAYS),  # wfi
    "is_suspended": (
        *_BEGINS,
        0xD2800020,  # mov x0, #1
        0xF2B88000,  # movk x0, #0xc400, lsl #16: CPU_SUSPEND
        0xD4000002,  # hvc #0
        _STAYS,
    ),
}
_ENTERED, _LEFT = _CODE + 0x80, _CODE + 0x100
"""Offsets of a word that the guest stores, and of one that the thread stores after KVM_RUN, each in its own line."""
PAUSES_MS = (5, 50, 500, 2000)
"""How long the events wait for the guest to begin. A busy machine needs a longer pause."""
ACTORS = ("the main thread", "duplicated fds")
"""The events' thread is not the one that runs the vCPU, under each of these names of perform.ACTORS."""
_EVENTS = tuple(event for event in EVENTS if not event.blocks)
_AT_ONCE = 8
"""Events in one stay. On a host whose calls take milliseconds, more would not end before the deadline."""
_TOPOLOGY = replace(next(each for each in TOPOLOGIES if each.name == "one_vcpu"), name="three_vcpus", ids=(0, 1, 2))


@dataclass(frozen=True)
class _Stay:
    """A KVM_RUN of the first vCPU that only a signal ends, and what is observed meanwhile through the others."""

    batch: Batch
    run: Pending
    entered: Arg
    left: Arg
    others: list[tuple[str, Pending, int]]
    """Calls on another VM that runs first meanwhile, with the expected errnos."""
    views: list[tuple[StateView, list[Pending]]]

    def happened(self, *, quickly: bool = False) -> bool:
        """Makes the calls. Whether the guest had begun before the first event, and stayed until the last one.

        ``quickly``: the calls take much less time than the deadline allows. Raises AssertionError if one blocks.
        """
        answer = self.batch.send()
        blocked = quickly and answer.expired and any(answer[self.entered].data)
        assert not blocked, "calls through other vCPUs: expected all to return, actual one waits for vCPU 0's KVM_RUN"
        self.batch.settle(answer)
        stayed = self.run.errno == errno.EINTR and not any(answer[self.left].data)
        if not stayed or not any(answer[self.entered].data):
            return False
        comparison = Comparison()
        for what, call, error in self.others:
            comparison.error(what, error, call.errno)
        comparison.done()
        for view, restarts in self.views:
            comparison = Comparison()
            view.compare(comparison, answer)
            for each in restarts:
                comparison.error(f"{each.what}, {view.when}", 0, each.errno)
            comparison.done()
        return True


def _first_run(batch: Batch, vm: Vm, registers: tuple[Register, ...]) -> list[tuple[str, Pending, int]]:
    """A first KVM_RUN of this VM, and writes that it refuses then."""
    batch.run_with_immediate_exit(vm.vcpu)
    return [
        (f"{r.name} = {value:#x} of another VM, after its run beside a guest", batch.set(vm.vcpu, r, value), error)
        for r in registers
        for value, error in ((r.reset, 0), (r.reset ^ r.mask, EBUSY if r.mask else 0))
    ]


def _stay(scene: Scene, other: Vm, guest: str, events: list[tuple[int, NeutralEvent]], pause_ms: int) -> _Stay:
    """``events`` are numbered. ``scene`` has all vCPUs, and the events happen to all but the first one."""
    first, batch = scene.vm.vcpu, scene.vm.batch()
    program, memory = batch.program, scene.vm.memory
    program.alone = len(scene.vm.kvm.placement.cores) > 1
    others = replace(scene, vm=replace(scene.vm, vcpus=scene.vm.vcpus[1:]), locked=True)
    # Events of an earlier stay may have stopped the vCPU.
    program.init_vcpu(first.fd, program.prepare_init(scene.vm.fd, scene.features)[1])
    program.poke(memory + _CODE, struct.pack(f"<{len(_GUESTS[guest])}I", *_GUESTS[guest]))
    for offset in (_ENTERED, _LEFT):
        program.poke(memory + offset, bytes(4))
    program.set_reg(first.fd, program.one_reg(PC, MEMORY_IPA + _CODE))
    signal = RunSignal(program)
    with program.concurrently() as stage:
        with stage.thread():
            signal.block(first.fd)
            program.barrier()
            run = batch.run_vcpu(first, signalled=True)
            program.poke(memory + _LEFT, b"\1")
            signal.take(first.fd)
        with stage.thread():
            program.barrier()
            sleep(program, pause_ms * 1_000_000)
            entered = program.peek(memory + _ENTERED, 4)
            first_run = _first_run(batch, other, scene.registers)
            views = [
                _observed(batch, others, event, turn)
                for turn, event in events
                if event.returns(late_vcpus=scene.contract.late_vcpus)
            ]
            left = program.peek(memory + _LEFT, 1)
            signal.send(scene.vm.kvm.fd)
    scene.locked, scene.psci = True, others.psci
    return _Stay(batch, run, entered, left, first_run, views)


def _observed(batch: Batch, scene: Scene, event: NeutralEvent, turn: int) -> tuple[StateView, list[Pending]]:
    """The event, an observation after it, and the calls that restart the vCPUs, which must succeed."""
    actor = ACTORS[turn % len(ACTORS)]
    perform(batch.program, event, place_in(scene, turn), actor)
    scene.happened(event)
    when = f"after {event.name} by {actor} while vCPU 0 is inside its guest, {scene.text}"
    view = observe_state(batch, scene, when)
    return view, scene.restart(batch) if event.restarts else []


@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3", "EVENT-4", "RUN-6")
@pytest.mark.parametrize("state", [State("before_run", "mixed"), State("after_run", "inverse")], ids=lambda s: s.when)
def test_events_beside_a_guest(
    state: State, kvm: Kvm, contract: Probe, registers: tuple[Register, ...], renew_deadline: Callable[[], float]
) -> None:
    """No event that happens to another vCPU or the VM meanwhile changes anything. Nor do all of them together.

    Another VM that runs first meanwhile is locked.
    """

    def stays(scene: Scene, other: Vm, pause: int) -> bool:
        events = list(enumerate(_EVENTS))
        for start in range(0, len(events), _AT_ONCE):
            renew_deadline()
            if not _stay(scene, other, "runs", events[start : start + _AT_ONCE], pause).happened():
                return False
        return True

    for pause in PAUSES_MS:
        with scene_of(kvm, contract, registers, state, _TOPOLOGY) as scene, kvm.create_vm() as other:
            if stays(scene, other, pause):
                _compare_after(scene)
                return
    raise NotMeasured(f"a guest did not begin within {PAUSES_MS[-1]} ms, or did not stay during the events")


_ACCESSES = [each for each in enumerate(_EVENTS) if each[1].name in ("same_bitmaps", "psci_version")]


@pytest.mark.clause("EVENT-1", "EVENT-2", "RUN-6", "RACE-4")
@pytest.mark.parametrize("guest", ["waits", "is_suspended"])
def test_accesses_beside_a_waiting_guest(
    guest: str, kvm: Kvm, contract: Probe, registers: tuple[Register, ...], renew_deadline: Callable[[], float]
) -> None:
    """While a vCPU waits for an interrupt, the registers can be read and written through the others at once."""
    for pause in PAUSES_MS:
        renew_deadline()
        with (
            scene_of(kvm, contract, registers, State("before_run", "mixed"), _TOPOLOGY) as scene,
            kvm.create_vm() as other,
        ):
            if _stay(scene, other, guest, _ACCESSES, pause).happened(quickly=True):
                _compare_after(scene)
                return
    raise NotMeasured(f"a guest did not begin within {PAUSES_MS[-1]} ms, or did not wait during the accesses")


def _compare_after(scene: Scene) -> None:
    """Starts every vCPU again after the stay, and compares their state and their guests."""
    comparison, batch = Comparison(), scene.vm.batch()
    restarts = scene.restart(batch)
    batch.run()
    when = f"after the events beside a guest, {scene.text}"
    for each in restarts:
        comparison.error(f"{each.what}, {when}", 0, each.errno)
    compare_guests(comparison, scene, when)
    compare_state(comparison, scene, when)
    comparison.done()
