# SPDX-License-Identifier: GPL-2.0-only
"""Shortens a sequence with a wrong answer: delta debugging with many candidates in one program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from helpers.contract.model import operations as op
from helpers.contract.model.machine import predict
from helpers.contract.model.state import Host
from helpers.subjects.base import KernelDied
from suites.events.perform import ACTORS

MOST_ROUND_TRIPS = 40
"""The most programs that shorten one finding."""
MOST_STEPS = 1500
"""The most calls in one of these programs."""

Steps = tuple[op.Step, ...]
Drive = Callable[[Sequence[Steps]], Sequence[Sequence[op.StepAnswer]]]
"""Makes sequences in one round trip. Raises KernelDied, HarnessError."""
Cut = frozenset[int]
"""The indices of calls that a candidate leaves out."""


@dataclass(frozen=True)
class Finding:
    """The steps up to the wrong answer, with the answers; or the steps of a sequence in which the kernel died."""

    steps: Steps
    answers: tuple[op.StepAnswer, ...]
    died: KernelDied | None = None


def differing(steps: Steps, answers: Sequence[op.StepAnswer]) -> Finding | None:
    """The finding for the first wrong answer; None if all answers are right."""
    at = op.first_difference(steps, tuple(answers))
    return None if at is None else Finding(steps[: at + 1], tuple(answers[: at + 1]))


class Shrinker:
    """Shortens a finding with at most about MOST_ROUND_TRIPS programs, each with at most ``most_steps`` calls.

    If ``most_steps`` is 0, each sequence has a separate program.
    """

    def __init__(self, host: Host, drive: Drive, most_steps: int = MOST_STEPS) -> None:
        self._host, self._drive, self._most_steps, self.trips = host, drive, most_steps, MOST_ROUND_TRIPS

    def shortest(self, finding: Finding) -> Finding:
        """The finding without the calls that it does not need. Raises KernelDied, HarnessError."""
        reduced = self._reduced(finding)
        plainer = self._plainer(reduced)
        return plainer if plainer is reduced else self._reduced(plainer)

    def _reduced(self, finding: Finding) -> Finding:
        parts = 2
        while self.trips > 0:
            shorter = self._shorter(finding, parts)
            if shorter is not None:
                finding = shorter
            elif parts >= len(finding.steps):
                break
            else:
                parts *= 2
        return finding

    def findings(self, several: Iterable[Steps]) -> list[Finding | None]:
        """The first wrong answer of each sequence."""
        found: list[Finding | None] = []
        for group in _bounded(several, self._most_steps):
            self.trips -= 1
            found += [differing(*each) for each in zip(group, self._drive(group), strict=True)]
        return found

    def _shorter(self, finding: Finding, parts: int) -> Finding | None:
        """The shortest finding after one cut, or after the union of several cuts that keep a wrong answer; or None."""
        cuts = list(_cuts(finding.steps, parts))
        shorter = self._without(finding, cuts)
        good = [cut for cut in cuts if cut in shorter]
        if len(good) > 1:
            halves = (good, good[: len(good) // 2], good[len(good) // 2 :])
            shorter |= self._without(finding, [frozenset[int]().union(*half) for half in halves])
        return min(shorter.values(), key=lambda each: len(each.steps), default=None)

    def _without(self, finding: Finding, cuts: Sequence[Cut]) -> dict[Cut, Finding]:
        operations = [step.operation for step in finding.steps]
        tried = [predict(self._host, [o for at, o in enumerate(operations) if at not in cut]) for cut in cuts]
        found = zip(cuts, self.findings(tried), strict=True)
        return {cut: each for cut, each in found if each is not None and len(each.steps) < len(finding.steps)}

    def _plainer(self, finding: Finding) -> Finding:
        """Uses one vCPU, KVM_RUN instead of events that run, and the main thread, if the answer then is still wrong."""
        for plain in (_on_one_vcpu, _run_alone, _by_main_thread):
            operations = [step.operation for step in finding.steps]
            plainer = [plain(each, operations[-1]) for each in operations]
            if plainer != operations:
                [other] = self.findings([predict(self._host, plainer)])
                finding = other or finding
        return finding


def _on_one_vcpu(operation: op.OnVm, last: op.OnVm) -> op.OnVm:
    if not isinstance(last, op.OnVcpu) or operation.vm != last.vm:
        return operation
    if isinstance(operation, op.CreateVcpu):
        return replace(operation, id=last.vcpu)
    return replace(operation, vcpu=last.vcpu) if isinstance(operation, op.OnVcpu) else operation


def _run_alone(operation: op.OnVm, _: op.OnVm) -> op.OnVm:
    if isinstance(operation, op.Disturb) and operation.effect.runs:
        return op.Run(operation.vm, operation.vcpu, op.How.IMMEDIATE_EXIT)
    return operation


def _by_main_thread(operation: op.OnVm, _: op.OnVm) -> op.OnVm:
    return replace(operation, actor=ACTORS[0]) if isinstance(operation, op.Disturb) else operation


def _cuts(steps: Steps, parts: int) -> Iterator[Cut]:
    """Cuts of one of ``parts`` parts; in the first round also of a VM, of a vCPU, and of all events but one.

    The last call is never left out: its answer is the wrong one.
    """
    number = len(steps) - 1
    parts = min(parts, number)
    for part in range(parts):
        yield frozenset(range(part * number // parts, (part + 1) * number // parts))
    if parts > 2:
        return
    operations = [step.operation for step in steps[:-1]]
    last = steps[-1].operation
    for vm in sorted({each.vm for each in operations} - {last.vm}):
        yield frozenset(at for at, each in enumerate(operations) if each.vm == vm)
    for place in sorted({place for each in operations if (place := _place(each))} - {_place(last)}):
        yield frozenset(at for at, each in enumerate(operations) if _place(each) == place)
    events = [at for at, each in enumerate(operations) if isinstance(each, op.Disturb)]
    for kept in events if len(events) > 1 else ():
        yield frozenset(at for at in events if at != kept)


def _place(operation: op.OnVm) -> tuple[int, int] | None:
    if isinstance(operation, op.OnVcpu):
        return operation.vm, operation.vcpu
    return (operation.vm, operation.id) if isinstance(operation, op.CreateVcpu) else None


def _bounded(several: Iterable[Steps], most_steps: int) -> Iterator[list[Steps]]:
    """The sequences in groups of at most ``most_steps`` calls."""
    group: list[Steps] = []
    for steps in several:
        if group and sum(map(len, group)) + len(steps) > most_steps:
            yield group
            group = []
        group.append(steps)
    if group:
        yield group
