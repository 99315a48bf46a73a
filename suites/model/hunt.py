# SPDX-License-Identifier: GPL-2.0-only
"""Looks for the shortest sequence to which a kernel answers otherwise than the model, or of which it dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from helpers.contract.model import operations as op
from helpers.contract.model.machine import Host, predict
from helpers.errors import HarnessError
from helpers.subjects.base import KernelDied
from suites.model.sequences import Sequences

MOST_ATTEMPTS = 300
"""Sequences that are tried once one was found, to make it shorter: seconds, where Hypothesis would take minutes."""

AT_ONCE = 200
"""Sequences of one search: Hypothesis and we keep them all, and a long run may make a million."""

Steps = tuple[op.Step, ...]
Drive = Callable[[Steps], Sequence[op.StepAnswer]]


@dataclass(frozen=True)
class Finding:
    """The steps up to the wrong answer, and the answers; or up to the one that ended the kernel."""

    steps: Steps
    answers: tuple[op.StepAnswer, ...]
    died: KernelDied | None = None


class _Stop(BaseException):
    """Ends Hypothesis's search at once; after an Exception it would go on."""


class _Enough(_Stop):
    """What was found is short."""


class _Died(_Stop):
    """The kernel died of a sequence: a boot for each of Hypothesis's attempts would take too long."""

    def __init__(self, steps: Steps, died: KernelDied) -> None:
        self.steps, self.died = steps, died


class _Broke(_Stop):
    """We could not find out."""

    def __init__(self, error: HarnessError) -> None:
        self.error = error


class _Differs(Exception):
    """One sequence, for Hypothesis, which wants the same exception of each that shows the same."""


def hunt(host: Host, drive: Drive, sequences: Sequences, examples: int, number: int) -> Finding | None:
    """The first search that finds something, of as many as ``examples`` sequences take. Raises HarnessError."""
    for turn, begin in enumerate(range(0, examples, AT_ONCE)):
        found = Hunt(host, drive).run(sequences, min(AT_ONCE, examples - begin), f"{number}, {turn}")
        if found:
            return found
    return None


def differing(steps: Steps, answers: Sequence[op.StepAnswer]) -> Finding | None:
    """What is wrong with the answers."""
    at = op.first_difference(steps, tuple(answers))
    return None if at is None else Finding(steps[: at + 1], tuple(answers[: at + 1]))


class Hunt:
    """One search. It remembers what each sequence did: Hypothesis tries it again, and a kernel may change its mind."""

    def __init__(self, host: Host, drive: Drive) -> None:
        self._host, self._drive = host, drive
        self._known: dict[Steps, Finding | None] = {}
        self._attempts = 0

    def run(self, sequences: Sequences, examples: int, number: str) -> Finding | None:
        """The shortest finding in ``examples`` sequences, those of the seed ``number``. Raises HarnessError."""
        quiet = settings(
            max_examples=examples, database=None, deadline=None, phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet, print_blob=False,
        )  # fmt: skip
        try:
            with suppress(_Differs, _Enough):
                seed(number)(quiet(given(sequences)(self._check)))()
            found = [each for each in self._known.values() if each]
            shortest = min(reversed(found), key=lambda each: len(each.steps), default=None)
            return shortest and self._shorter(shortest)
        except _Died as died:
            return self._of_death(died.steps, died.died)
        except _Broke as broke:
            raise broke.error from None

    def _check(self, operations: list[op.OnVm]) -> None:
        if self._attempts > MOST_ATTEMPTS:
            raise _Enough
        finding = self._answered(predict(self._host, operations))
        self._attempts += bool(finding or self._attempts)
        if finding:
            raise _Differs

    def _answered(self, steps: Steps) -> Finding | None:
        if steps not in self._known:
            try:
                self._known[steps] = differing(steps, self._drive(steps))
            except KernelDied as died:
                raise _Died(steps, died) from None
            except HarnessError as error:
                raise _Broke(error) from None
        return self._known[steps]

    def _shorter(self, finding: Finding) -> Finding:
        """Without each call that it does without: Hypothesis may have been stopped early."""
        operations = [step.operation for step in finding.steps]
        for at in reversed(range(len(operations))):
            left = self._answered(predict(self._host, operations[:at] + operations[at + 1 :]))
            if left and len(left.steps) < len(finding.steps):
                return self._shorter(left)
        return finding

    # --- a kernel that dies ---------------------------------------------------

    def _of_death(self, steps: Steps, died: KernelDied) -> Finding:
        """What it died of. A death costs a boot, and a sequence that it survives nothing: the shortest come first."""
        fatal = self._first_fatal([steps[: n + 1] for n in range(len(steps))])
        if fatal is None:
            return Finding(steps, (), died)
        *before, last = fatal.steps
        basis = [at for at, step in enumerate(before) if _makes(step.operation, last.operation)]
        rest = [at for at in range(len(before)) if at not in basis]
        kept = [sorted([*basis, *rest[len(rest) - n :]]) for n in range(len(rest))]
        # The contract's answers are others without the calls that are left out.
        fewer = [predict(self._host, [*(before[at].operation for at in each), last.operation]) for each in kept]
        return self._first_fatal(fewer) or fatal

    def _first_fatal(self, attempts: Sequence[Steps]) -> Finding | None:
        for steps in attempts:
            try:
                self._drive(steps)
            except KernelDied as died:
                return Finding(steps, (), died)
        return None


def _makes(operation: op.OnVm, last: op.OnVm) -> bool:
    """Whether a call made the VM or the vCPU of the last one what it is."""
    made = isinstance(operation, (op.CreateVm, op.CreateVcpu, op.Init))
    return made and operation.vm == last.vm
