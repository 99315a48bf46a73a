# SPDX-License-Identifier: GPL-2.0-only
"""While a condition lasts, nothing that the contract defines changes, before and after the guests have run."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import Register
from helpers.kvm import Kvm
from helpers.kvm_program import KvmProgram
from suites.events.conditions import CONDITIONS, LastingCondition
from suites.events.observation import compare_guests, compare_state, observe_state
from suites.events.scene import TOPOLOGIES, State, place_in, scene_of

_TOPOLOGY = next(each for each in TOPOLOGIES if each.name == "two_vcpus")


@pytest.mark.clause("EVENT-1", "EVENT-2", "EVENT-3", "EVENT-4")
@pytest.mark.parametrize("held", ["mixed", "full", "empty"])
@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each.name)
def test_while_it_lasts(
    condition: LastingCondition, held: str, kvm: Kvm, contract: Probe, registers: tuple[Register, ...]
) -> None:
    """The registers' values, the accepted writes and the answers to both vCPUs' guests do not depend on it."""
    if not (condition.protected or contract.late_vcpus):
        pytest.skip(f"not applicable, because {condition.name} may end a kernel with protected KVM")
    comparison = Comparison()
    with scene_of(kvm, contract, registers, State("before_run", held), _TOPOLOGY) as scene:
        batch = scene.vm.batch()
        for acting in range(len(scene.vm.vcpus)):
            condition.begins(batch.program, place_in(scene, acting))
        scene.locked = condition.runs
        view = observe_state(batch, scene, f"during {condition.name}, {scene.text}")
        try:
            view.compare(comparison, batch.run())
            if condition.guests:
                compare_guests(comparison, scene, f"during {condition.name}, {scene.text}")
                compare_state(comparison, scene, f"during {condition.name} after the guests' calls, {scene.text}")
        finally:
            end = KvmProgram()
            condition.ends(end)
            scene.vm.kvm.subject.run(end)
    comparison.done()
