# SPDX-License-Identifier: GPL-2.0-only
"""Each event, in VMs of each state and topology: what the contract defines is the same before and after it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from suites.events.covering import Chain, Happening, chains
from suites.events.observation import compare_guests, compare_state
from suites.events.perform import perform
from suites.events.scene import Scene, place_in, scene_of


def _happen(scene: Scene, happening: Happening) -> None:
    program, event = KvmProgram(), happening.event
    perform(program, event, place_in(scene, happening.acting), happening.actor)
    scene.vm.kvm.subject.run(program)
    scene.locked = scene.locked or event.runs
    if event.psci is not None and scene.features:
        scene.psci = event.psci


def _follow(scene: Scene, happenings: Iterable[Happening]) -> None:
    """Each event and an observation after it. The first difference ends the test."""
    for happening in happenings:
        comparison, event = Comparison(), happening.event
        _happen(scene, happening)
        compare_state(comparison, scene, f"after {event.name} by {happening.actor}, {scene.text}")
        comparison.done()
        if event.restarts:
            scene.restart()


@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3", "EVENT-4")
@pytest.mark.parametrize("chain", chains(), ids=lambda chain: chain.name)
def test_events(chain: Chain, kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """What the contract defines is the same after each event; at the end each guest gets the defined answers."""
    with scene_of(kvm, contract, registers, chain.state, chain.topology) as scene:
        comparison = Comparison()
        compare_state(comparison, scene, f"before the first event, {scene.text}")
        comparison.done()
        _follow(scene, chain.happenings)
        if chain.last is not None:
            _follow(scene, [chain.last])
        names = ", ".join(each.event.name for each in chain.happenings)
        compare_guests(comparison, scene, f"after {names}, {scene.text}")
        compare_state(comparison, scene, f"after {names} and the guests' calls, {scene.text}")
        comparison.done()
