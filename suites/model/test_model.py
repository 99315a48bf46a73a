# SPDX-License-Identifier: GPL-2.0-only
"""Random sequences of calls on the kernel and on the contract's state machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from helpers.contract.model import operations as op
from helpers.contract.model import text
from helpers.contract.model.machine import Host
from helpers.contract.model.reproducer import reproducer
from helpers.kvm import Kvm
from helpers.subjects.base import KernelDied
from suites.model.drive import drive
from suites.model.hunt import Finding, Steps, hunt
from suites.model.sequences import MIXES, sequences

LENGTH = 40
"""Calls in one sequence, besides those that create its first VMs and vCPUs."""
Keep = Callable[[str], Path]
ModelSteps = tuple[int, int]


class DiedOfCalls(KernelDied):
    """The kernel died of these calls."""

    def __init__(self, died: KernelDied, shown: str) -> None:
        super().__init__(died.subject, died.how, died.last_words)
        self._shown = shown

    def __str__(self) -> str:
        return f"{self._shown}\n{super().__str__()}"


def _story(host: Host, finding: Finding, kvm: Kvm, keep: Keep, again: str) -> str:
    """The failure's message, with the calls and the path of the C program."""
    if finding.died:
        what = f"The kernel died of the last of these calls: {finding.died.how}"
        calls = text.expected_text(finding.steps)
    else:
        what = "The kernel's answer to the last of these calls breaks the contract"
        calls = text.sequence(finding.steps, finding.answers)
    path = keep(reproducer(host, finding.steps, kvm.image, f"{kvm.subject.label}: {what}.\n{calls}"))
    return f"{what}.\n{calls}\nC reproducer: {path}\nThe same search: {again}"


@pytest.mark.clause("MODEL-1")
@pytest.mark.parametrize("mix", MIXES)
def test_any_order(
    mix: str, kvm: Kvm, host: Host, model_steps: ModelSteps, renew_deadline: Callable[[], object], keep_reproducer: Keep
) -> None:
    """Every answer to calls that create, initialise, access, run and close VMs and vCPUs."""
    current, driven = kvm, 0

    def drive_once(steps: Steps) -> Sequence[op.StepAnswer]:
        nonlocal current, driven
        renew_deadline()
        if not current.alive:
            current = Kvm(kvm.subject, kvm.image)
        driven += 1
        return drive(current, host.dialect, host.registers, steps)

    total, number = model_steps
    examples = max(1, total // (len(MIXES) * LENGTH))
    finding = hunt(host, drive_once, sequences(host, mix, LENGTH), examples, number)
    again = f"--model-steps={total} --model-seed={number}"
    # Hypothesis generates some sequences twice; the repetition is not driven.
    assert 2 * driven >= examples or finding, f"only {driven} of {examples} sequences were driven"
    if finding:
        shown = _story(host, finding, kvm, keep_reproducer, again)
        if finding.died:
            raise DiedOfCalls(finding.died, shown)
        pytest.fail(shown, pytrace=False)
