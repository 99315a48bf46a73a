# SPDX-License-Identifier: GPL-2.0-only
"""Assigns events to VMs: each event in each state, and in each topology in two states, which are complements.

So a change of one bit, and of the lock, shows in each topology: a register that an event empties was not empty in one
of the two states. An event that runs a guest cannot lock a register that is not locked.

A chain is a VM with several events, because a VM costs more than an event. An observation follows each event, so that
a change is attributed to it. An event that locks the registers is the last one in the chain of a VM that has not run.
tests/unit/test_events.py checks the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from suites.events.events import NeutralEvent
from suites.events.perform import ACTORS
from suites.events.scene import STATES, TOPOLOGIES, State, Topology
from suites.events.table import EVENTS


@dataclass(frozen=True)
class Happening:
    """An event, and which of ACTORS performs it. ``acting`` selects the vCPU, modulo their number."""

    event: NeutralEvent
    actor: str
    acting: int


@dataclass
class Chain:
    """A VM and its events, in order."""

    state: State
    topology: Topology
    happenings: list[Happening] = field(default_factory=list)
    last: Happening | None = None
    """The event that locks the registers of a VM that has not run."""

    @property
    def name(self) -> str:
        """The test's id."""
        own = f"-{self.last.event.name}" if self.last and not self.happenings else ""
        return f"{self.state.when}-{self.state.held}-{self.topology.name}{own}"


def chains() -> tuple[Chain, ...]:
    """All chains."""
    grid = {(state, topology): Chain(state, topology) for topology in TOPOLOGIES for state in STATES}
    own: list[Chain] = []
    for number, event in enumerate(EVENTS):
        states = [state for state in STATES if state.when == "after_run" or not event.runs]
        for place, topology in enumerate(TOPOLOGIES):
            state = states[(number + place) % len(states)]
            for each in (state, state.complement(runs=event.runs)):
                grid[each, topology].happenings.append(_happening(event, number + place, topology))
        if event.runs:
            own += _first_runs(grid, event, number)
    for turn, chain in enumerate(grid.values()):
        cut = turn % len(chain.happenings)
        chain.happenings = chain.happenings[cut:] + chain.happenings[:cut]
    return (*grid.values(), *own)


def _first_runs(grid: dict[tuple[State, Topology], Chain], event: NeutralEvent, number: int) -> list[Chain]:
    """Adds the event to the end of a chain in each state before_run. Returns the chains that had to be added."""
    added = []
    for turn, state in enumerate(each for each in STATES if each.when == "before_run"):
        topology = TOPOLOGIES[(number + 3 * turn) % len(TOPOLOGIES)]
        chain = grid[state, topology]
        if chain.last is not None:
            chain = Chain(state, topology)
            added.append(chain)
        chain.last = _happening(event, number + turn, topology)
    return added


def _happening(event: NeutralEvent, turn: int, topology: Topology) -> Happening:
    return Happening(event, ACTORS[turn % len(ACTORS)], turn if topology.acting is None else topology.acting)
