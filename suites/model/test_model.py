# SPDX-License-Identifier: GPL-2.0-only
"""Makes random sequences of calls and compares the kernel's answers with the contract's state machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from helpers.contract.model import operations as op
from helpers.contract.model import text
from helpers.contract.model.blame import broken_clauses
from helpers.contract.model.reproducer import reproducer
from helpers.contract.model.state import Host
from helpers.kvm import Kvm
from helpers.subjects.base import KernelDied
from suites.conftest import Note
from suites.model.alphabet import topologies_of
from suites.model.drive import DriveFacts, drive
from suites.model.event_in_c import event_in_c
from suites.model.hunt import Hunt
from suites.model.sequences import MIXES
from suites.model.shrink import Finding, Steps

pytestmark = pytest.mark.long

LENGTH = 40
"""Calls in one sequence, without those that create its first VMs and vCPUs."""
Keep = Callable[[str], Path]
Breaks = Callable[[Sequence[str]], None]
ModelSteps = tuple[int, int]


class DiedOfCalls(KernelDied):
    """The kernel died during a sequence of calls. ``shown`` has the calls."""

    def __init__(self, died: KernelDied, shown: str) -> None:
        super().__init__(died.subject, died.how, died.last_words)
        self._shown = shown

    def __str__(self) -> str:
        return f"{self._shown}\n{super().__str__()}"


def _story(host: Host, finding: Finding, kvm: Kvm, facts: DriveFacts, keep: Keep, again: str) -> str:
    """The failure's message, with the calls and the path of the C program."""
    if finding.died:
        what = f"The kernel died in the last of these calls: {finding.died.how}"
        calls = text.expected_text(finding.steps)
    else:
        clauses = ", ".join(broken_clauses(finding.steps, finding.answers))
        what = f"The kernel's answer to the last of these calls breaks {clauses}"
        calls = text.sequence(finding.steps, finding.answers)
    title = f"{kvm.subject.label}: {what}.\n{calls}"
    in_c = partial(event_in_c, facts=facts, run_size=kvm.run_size, vm_type=kvm.vm_type)
    path = keep(reproducer(host, finding.steps, kvm.image.code, title, in_c))
    return f"{what}.\n{calls}\nC reproducer: {path}\nRepeat this search with {again}"


@pytest.mark.clause("MODEL-1")
@pytest.mark.parametrize("mix", MIXES)
def test_any_order(
    mix: str, kvm: Kvm, host: Host, drive_facts: DriveFacts, model_steps: ModelSteps,
    renew_deadline: Callable[[], object], keep_reproducer: Keep, note: Note, breaks: Breaks,
) -> None:  # fmt: skip
    """Calls create, initialise, access, run and close VMs and vCPUs, with events. The model predicts each answer."""
    current = kvm

    def drive_once(sequences: Sequence[Steps]) -> Sequence[Sequence[op.StepAnswer]]:
        nonlocal current
        if not current.alive:
            current = Kvm(kvm.subject, kvm.image.code)
        return drive(current, drive_facts, sequences, renew_deadline)

    total, number = model_steps
    examples = max(1, total * MIXES[mix] // (sum(MIXES.values()) * LENGTH))
    hunt = Hunt(host, drive_once)
    finding = hunt.run(mix, examples, LENGTH, number)
    if hunt.coverage.counts:
        note(f"model, {mix}, seed {number}: {hunt.coverage.text(topologies_of(host))}")
    if finding:
        again = f"--model-steps={total} --model-seed={number}"
        shown = _story(host, finding, kvm, drive_facts, keep_reproducer, again)
        if finding.died:
            raise DiedOfCalls(finding.died, shown)
        breaks(broken_clauses(finding.steps, finding.answers))
        pytest.fail(shown, pytrace=False)
