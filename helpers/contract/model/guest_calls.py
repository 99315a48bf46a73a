# SPDX-License-Identifier: GPL-2.0-only
"""Every call that a guest of the model may make, and its answer by the registers and the version of PSCI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from helpers.contract.arguments import NEAR_MISSES
from helpers.contract.calling_forms import GARBAGE, Form
from helpers.contract.functions import ARCH_FEATURES, CLOSED, FUNCTIONS, U32, WORKAROUNDS, Function, Situation, X
from helpers.contract.neighbours import PSCI_0_1, PSCI_CALLS, PsciCall
from helpers.contract.neighbours import WORKAROUND_REGISTERS as LEVELS
from helpers.smccc import U64, Call


@dataclass(frozen=True)
class GuestView:
    """What an answer depends on: the registers, the VM's PSCI version, the host's level of each workaround by name."""

    situation: Situation
    psci: int
    levels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Callee:
    """One call. ``answer`` gives x0..x3 where KVM serves it, each as (value, mask of the bits that count)."""

    name: str
    id: int
    args: tuple[int, ...]
    answer: Callable[[GuestView], tuple[tuple[int, int], ...]]
    level: str = ""
    """The workaround register whose level the answer depends on."""

    def call(self, form: Form) -> Call:
        """The call, with garbage where it takes no argument."""
        return Call(form.upper | self.id, (*self.args, *GARBAGE[len(self.args) :]), form.conduit)


def exact(x: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Registers of which every bit counts."""
    return tuple((value, U64) for value in x)


def _entropy(width: int, bits: int) -> tuple[tuple[int, int], ...]:
    """Success, and in x3, x2, x1 (the lowest word first) nothing but the ``bits`` asked for."""
    random = [(1 << max(0, min(width, bits - width * word))) - 1 for word in range(3)]
    return ((0, U64), *((0, U64 & ~each) for each in reversed(random)))


_PTP = ((0, U64 & ~U32),) * 4
"""Times and ticks are the business of other checks: here that there is an answer, of 32 bits in each register."""


def _of_function(function: Function) -> Callee:
    def answer(view: GuestView) -> tuple[tuple[int, int], ...]:
        found = function.expected(view.situation)
        if isinstance(found, tuple):
            return exact(found)
        if found.startswith("entropy"):
            _, width, bits = found.split(":")
            return _entropy(int(width), int(bits))
        if found == "ptp":
            return _PTP
        if found == "psci-version":
            return exact(CLOSED if view.psci == PSCI_0_1 else (view.psci, 0, 0, 0))
        assert found == "constant" and workaround, found
        return exact((workaround.answers[view.levels[workaround.register.name]], 0, 0, 0))

    workaround = next((w for w in LEVELS if function.id == ARCH_FEATURES and function.args == (w.function,)), None)
    level = workaround.register.name if workaround else ""
    return Callee(function.name, function.id, function.args, answer, level)


def _of_psci(call: PsciCall) -> Callee:
    def answer(view: GuestView) -> tuple[tuple[int, int], ...]:
        found: X = CLOSED if view.psci == PSCI_0_1 else (call.answer(view.psci), 0, 0, 0)
        return exact(found)

    return Callee(f"PSCI.{call.name}", call.id, call.args, answer)


def _all() -> dict[str, Callee]:
    # PSCI_CALLS knows the version, and asks about vCPUs that here may be on or off.
    psci = [p for p in PSCI_CALLS if not p.name.startswith(("AFFINITY_INFO", "CPU_ON"))]
    made = [_of_function(f) for f in FUNCTIONS if f.name != "PSCI_FEATURES.SMCCC_VERSION"]
    made += map(_of_psci, psci)
    # With PSCI 0.1 those ids are its functions.
    misses = {name: i for name, i in NEAR_MISSES.items() if not name.startswith("PSCI_0_1")}
    made += [Callee(f"no function: {name}", i, (), lambda _: exact(CLOSED)) for name, i in misses.items()]
    made += [Callee(name, i, (), lambda _: exact(CLOSED)) for name, i in WORKAROUNDS]
    return {each.name: each for each in made}


CALLEES = _all()
FAST_PATH = frozenset(i for _, i in WORKAROUNDS)
"""Served at EL2 when they come by HVC (hyp-entry.S:el1_sync): x0 = x1 = 0, the rest kept."""


def families() -> dict[str, tuple[str, ...]]:
    """The names by what they have in common, so that a function with many arguments has no more turns than another."""
    found: dict[str, list[str]] = {}
    for name in CALLEES:
        found.setdefault(name.replace(":", ".").partition(".")[0], []).append(name)
    return {family: tuple(names) for family, names in found.items()}
