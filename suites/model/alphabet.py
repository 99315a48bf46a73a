# SPDX-License-Identifier: GPL-2.0-only
"""The events, states and topologies of suites/events as the model uses them, and the coverage of their pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

from helpers.contract.model import operations as op
from helpers.contract.model.state import Host, ModelVm
from helpers.contract.registers import Register
from helpers.uapi import kvm as uapi
from suites.events.events import NeutralEvent
from suites.events.scene import STATES, TOPOLOGIES
from suites.events.table import EVENTS

BY_NAME = {event.name: event for event in EVENTS}
ANY_TOPOLOGY = "any"
"""The name of a VM whose vCPUs or features are in no topology of suites/events."""
Factors = tuple[str, str, str]
"""The names of an event, a state and a topology."""


def effect_of(event: NeutralEvent) -> op.Effect:
    """The effects of an event that the model predicts."""
    return op.Effect(
        runs=event.runs, restarts=event.restarts or "KVM_ARM_VCPU_INIT" in event.ioctls, psci=event.psci,
        guest=event.runs and event.restarts, blocks=event.blocks,
        enables="KVM_ENABLE_CAP" in event.ioctls,
    )  # fmt: skip


EFFECTS: Mapping[str, op.Effect] = {event.name: effect_of(event) for event in EVENTS}
EVENT_NAMES = tuple(EFFECTS)


def state_name(vm: ModelVm, registers: Iterable[Register]) -> str:
    """The name of a VM's state, as in suites/events. "mixed" is any other value."""
    values = [(vm.values[r.name], r.mask) for r in registers if r.mask]
    empty, full = (all(value == each * mask for value, mask in values) for each in (0, 1))
    return f"{'after_run' if vm.ran else 'before_run'}, {'empty' if empty else 'full' if full else 'mixed'}"


_STATE_NAMES = tuple(f"{state.when}, {state.held}" for state in STATES if state.held != "inverse")


@dataclass
class Coverage:
    """Counts how often each pair from an event, a state and a topology was generated."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, factors: Factors) -> None:
        event, state, topology = factors
        self.counts.update(((event, state), (event, topology), (state, topology)))

    def rarity(self, factors: Factors) -> int:
        """How often the event was generated in this state, plus how often it was generated in this topology."""
        event, state, topology = factors
        return self.counts[event, state] + self.counts[event, topology]

    def text(self, topologies: Collection[str]) -> str:
        """The number of pairs that were generated, out of those that exist on a host with these topologies."""
        pairs = [
            *product(EVENT_NAMES, _STATE_NAMES), *product(EVENT_NAMES, topologies), *product(_STATE_NAMES, topologies)
        ]  # fmt: skip
        number = sum(pair in self.counts for pair in pairs)
        return f"{number} of {len(pairs)} pairs of event, state and topology"


def topologies_of(host: Host) -> list[str]:
    """The names of the topologies that a host can have."""
    return [*(t.name for t in TOPOLOGIES if t.features in host.features), ANY_TOPOLOGY]


FEATURE_SETS = (
    (uapi.KVM_ARM_VCPU_PSCI_0_2,), (), (uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_PMU_V3),
    (uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_SVE), (uapi.KVM_ARM_VCPU_PSCI_0_2, uapi.KVM_ARM_VCPU_EL1_32BIT),
)  # fmt: skip
"""The feature sets to try. Host.features has the ones that the kernel accepts."""
