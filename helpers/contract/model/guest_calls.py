# SPDX-License-Identifier: GPL-2.0-only
"""Every call of the model's guests. Its answer depends on the registers and on the version of PSCI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from helpers.contract.arguments import NEAR_MISSES
from helpers.contract.calling_forms import GARBAGE, Form
from helpers.contract.functions import ARCH_FEATURES, CLOSED, FUNCTIONS, U32, WORKAROUNDS, Function, Ranges, Situation
from helpers.contract.neighbours import PSCI_0_1, PSCI_CALLS, PsciCall
from helpers.contract.neighbours import WORKAROUND_REGISTERS as LEVELS
from helpers.contract.service_files import CONDUITS
from helpers.smccc import U64, Call


@dataclass(frozen=True)
class GuestView:
    """The inputs of an answer; ``levels`` are the host's workaround levels by name."""

    situation: Situation
    psci: int
    smccc: int
    levels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Callee:
    """One call. ``answer`` gives x0..x3 if KVM serves it, each as (value, mask of the compared bits)."""

    name: str
    id: int
    args: tuple[int, ...]
    answer: Callable[[GuestView], tuple[tuple[int, int], ...]]
    level: str = ""
    """The workaround register whose level the answer depends on."""
    until: int = U32
    """The latest PSCI version of a new VM for which the answer is defined."""
    conduits: tuple[str, ...] = CONDUITS
    function: Function | None = None
    """The service's function; None for PSCI and for ids without a function."""

    def clause(self, situation: Situation) -> str:
        """The clause of the answer if KVM serves the call."""
        gate = self.function.gated(situation.dialect) if self.function else None
        if gate is not None:
            return "CALL-1" if situation.open(*gate) else "CALL-2"
        if self.function is not None:
            return "CALL-3"
        return "PSCI-4" if self.name.startswith("PSCI.") else "CALL-7"

    def call(self, form: Form) -> Call:
        """The call, with nonzero values in the registers that it does not read."""
        return Call(form.upper | self.id, (*self.args, *GARBAGE[len(self.args) :]), form.conduit)


def exact(x: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Registers with every bit compared."""
    return tuple((value, U64) for value in x)


def _entropy(width: int, bits: int) -> tuple[tuple[int, int], ...]:
    """Success, and no more than ``bits`` bits in x3, x2, x1 (the lowest word first)."""
    random = [(1 << max(0, min(width, bits - width * word))) - 1 for word in range(3)]
    return ((0, U64), *((0, U64 & ~each) for each in reversed(random)))


_PTP = ((0, U64 & ~U32),) * 4
"""32 bits in each register. Other tests check the times and ticks."""


def _of_function(function: Function) -> Callee:
    def answer(view: GuestView) -> tuple[tuple[int, int], ...]:
        expected = function.expected(view.situation)
        if isinstance(expected, tuple):
            return exact(expected)
        if isinstance(expected, Ranges):
            return tuple((low, U64 & ~((1 << (low ^ high).bit_length()) - 1)) for low, high in expected.limits)
        if expected.startswith("entropy"):
            _, width, bits = expected.split(":")
            return _entropy(int(width), int(bits))
        if expected == "ptp":
            return _PTP
        if expected == "smccc-version":
            return exact((view.smccc, 0, 0, 0))
        if expected == "psci-version":
            return exact(CLOSED if view.psci == PSCI_0_1 else (view.psci, 0, 0, 0))
        assert expected == "constant" and workaround, expected
        return exact((workaround.answers[view.levels[workaround.register.name]], 0, 0, 0))

    workaround = next((w for w in LEVELS if function.id == ARCH_FEATURES and function.args == (w.function,)), None)
    level = workaround.register.name if workaround else ""
    return Callee(
        function.name, function.id, function.args, answer, level, conduits=function.conduits, function=function
    )


def _of_psci(call: PsciCall) -> Callee:
    def answer(view: GuestView) -> tuple[tuple[int, int], ...]:
        return exact(CLOSED if view.psci == PSCI_0_1 else (call.answer(view.psci), 0, 0, 0))

    return Callee(f"PSCI.{call.name}", call.id, call.args, answer, until=call.until)


def _all() -> dict[str, Callee]:
    # AFFINITY_INFO and CPU_ON are left out, because their answers depend on which vCPUs are on.
    psci = [p for p in PSCI_CALLS if not p.name.startswith(("AFFINITY_INFO", "CPU_ON"))]
    callees = [_of_function(f) for f in FUNCTIONS if f.name != "PSCI_FEATURES.SMCCC_VERSION"]
    callees += map(_of_psci, psci)
    # Those ids are functions of PSCI 0.1.
    misses = {name: i for name, i in NEAR_MISSES.items() if not name.startswith("PSCI_0_1")}
    callees += [Callee(f"no function: {name}", i, (), lambda _: exact(CLOSED)) for name, i in misses.items()]
    callees += [Callee(name, i, (), lambda _: exact(CLOSED)) for name, i in WORKAROUNDS]
    return {each.name: each for each in callees}


CALLEES = _all()
FAST_PATH = frozenset(i for _, i in WORKAROUNDS)
"""An HVC with one of these ids is served at EL2 (hyp-entry.S:el1_sync): it sets x0 and x1 to 0 and nothing else."""


def families() -> dict[str, tuple[str, ...]]:
    """The names by function, so that a function with many arguments is called no more often than another."""
    names_of: dict[str, list[str]] = {}
    for name in CALLEES:
        names_of.setdefault(name.replace(":", ".").partition(".")[0], []).append(name)
    return {family: tuple(names) for family, names in names_of.items()}
