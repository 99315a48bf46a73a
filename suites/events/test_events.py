# SPDX-License-Identifier: GPL-2.0-only
"""Each event, in VMs of each state and topology: it changes nothing that the contract defines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from helpers.batch import Pending
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.kvm import Kvm
from suites.events.covering import Chain, Happening, chains
from suites.events.observation import StateView, compare_guests, compare_state, observe_state
from suites.events.perform import perform
from suites.events.scene import Scene, place_in, scene_of

pytestmark = pytest.mark.long


def _follow(scene: Scene, happenings: Iterable[Happening]) -> None:
    """The events in one program, with an observation after each. The first difference ends the test."""
    batch = scene.vm.batch()
    seen: list[tuple[StateView, list[Pending]]] = []
    for happening in happenings:
        event, when = happening.event, f"after {happening.event.name} by {happening.actor}, {scene.text}"
        perform(batch.program, event, place_in(scene, happening.acting), happening.actor)
        scene.happened(event)
        view = observe_state(batch, scene, when)
        seen.append((view, scene.restart(batch) if event.restarts else []))
    answer = batch.run()
    for view, restarts in seen:
        comparison = Comparison()
        view.compare(comparison, answer)
        for each in restarts:
            comparison.error(f"{each.what}, {view.when}", 0, each.errno)
        comparison.done()


def _possible(chain: Chain, contract: Probe) -> Chain:
    """The chain without the events from which KVM_RUN would not return."""

    def possible(each: Happening) -> bool:
        return each.event.returns(late_vcpus=contract.late_vcpus)

    last = chain.last if chain.last is not None and possible(chain.last) else None
    return replace(chain, happenings=[each for each in chain.happenings if possible(each)], last=last)


def _groups(chain: Chain, *, together: bool) -> list[list[Happening]]:
    """The events of each round trip. The last event of a chain always has a separate one."""
    first = [list(chain.happenings)] if together else [[each] for each in chain.happenings]
    return [*first, *([[chain.last]] if chain.last is not None else [])]


def _compare(scene: Scene, chain: Chain, groups: Iterable[Iterable[Happening]]) -> None:
    comparison = Comparison()
    compare_state(comparison, scene, f"before the first event, {scene.text}")
    comparison.done()
    for group in groups:
        _follow(scene, group)
    names = ", ".join(each.event.name for each in chain.happenings)
    compare_guests(comparison, scene, f"after {names}, {scene.text}")
    compare_state(comparison, scene, f"after {names} and the guests' calls, {scene.text}")
    comparison.done()


@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3", "EVENT-4")
@pytest.mark.parametrize("chain", chains(), ids=lambda chain: chain.name)
def test_events(chain: Chain, kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> None:
    """No event changes what the contract defines. At the end, each guest gets the defined answers."""
    chain = _possible(chain, contract)
    if not chain.happenings and chain.last is None:
        pytest.skip("not applicable, because protected KVM may lose the interrupt that the event needs")

    def compare(*, together: bool) -> None:
        with scene_of(kvm, contract, registers, chain.state, chain.topology) as scene:
            _compare(scene, chain, _groups(chain, together=together))

    different: AssertionError | None = None
    try:
        compare(together=True)
    except AssertionError as error:
        different = error
    if different is not None:
        # Repeat with one event in each round trip: the trace then ends with the event that made the difference.
        compare(together=False)
        raise different
