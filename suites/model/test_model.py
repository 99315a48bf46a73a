# SPDX-License-Identifier: GPL-2.0-only
"""Sequences of calls in any order, on the kernel and on the contract's state machine."""

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
"""Calls in one sequence, beside those that make its first VMs and vCPUs."""
Keep = Callable[[str], Path]
ModelSteps = tuple[int, int]


class DiedOfCalls(KernelDied):
    """The kernel died, and of these calls."""

    def __init__(self, died: KernelDied, shown: str) -> None:
        super().__init__(died.subject, died.how, died.last_words)
        self._shown = shown

    def __str__(self) -> str:
        return f"{self._shown}\n{super().__str__()}"


def _story(host: Host, finding: Finding, kvm: Kvm, keep: Keep, again: str) -> str:
    """The calls, and where they are as a C program."""
    if finding.died:
        what = f"The kernel died of the last of these calls: {finding.died.how}"
        calls = text.expected_text(finding.steps)
    else:
        what = "The kernel's answer to the last of these calls is not the contract's"
        calls = text.sequence(finding.steps, finding.answers)
    path = keep(reproducer(host, finding.steps, kvm.image, f"{kvm.subject.label}: {what}.\n{calls}"))
    return f"{what}.\n{calls}\nAs a C program that shows it: {path}\nThe same search again: {again}"


@pytest.mark.clause("MODEL-1")
@pytest.mark.parametrize("mix", MIXES)
def test_any_order(
    mix: str, kvm: Kvm, host: Host, model_steps: ModelSteps, renew_deadline: Callable[[], None], keep_reproducer: Keep
) -> None:
    """VMs and vCPUs that come and go, INIT, ONE_REG, KVM_RUN, guest calls, filters, device attributes: every answer."""
    opened, made = kvm, 0

    def driven(steps: Steps) -> Sequence[op.StepAnswer]:
        nonlocal opened, made
        renew_deadline()
        if not opened.alive:
            opened = Kvm(kvm.subject, kvm.image)
        made += 1
        return drive(opened, host.dialect, host.registers, steps)

    total, number = model_steps
    examples = max(1, total // (len(MIXES) * LENGTH))
    finding = hunt(host, driven, sequences(host, mix, LENGTH), examples, number)
    again = f"--model-steps={total} --model-seed={number} -k 'test_any_order and {mix}'"
    # Hypothesis makes some sequences twice, of which the second is not driven.
    assert 2 * made >= examples or finding, f"only {made} of {examples} sequences were driven"
    if finding:
        shown = _story(host, finding, kvm, keep_reproducer, again)
        if finding.died:
            raise DiedOfCalls(finding.died, shown)
        pytest.fail(shown, pytrace=False)
