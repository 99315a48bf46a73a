# SPDX-License-Identifier: GPL-2.0-only
"""Searches the shortest sequence whose answers differ from the model's, or that ends the kernel."""

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
"""Sequences for shrinking a finding: seconds, where Hypothesis would take minutes."""
AT_ONCE = 200
"""Sequences of one search, which are all kept in memory."""

Steps = tuple[op.Step, ...]
Drive = Callable[[Steps], Sequence[op.StepAnswer]]


@dataclass(frozen=True)
class Finding:
    """The steps up to the wrong answer with the answers, or up to the step that ended the kernel."""

    steps: Steps
    answers: tuple[op.StepAnswer, ...]
    died: KernelDied | None = None


class _Stop(BaseException):
    """Ends Hypothesis's search at once; after an Exception it would go on."""


class _Enough(_Stop):
    """MOST_ATTEMPTS are used up."""


class _Failed(_Stop):
    """A sequence ended the kernel, for which a boot in each of Hypothesis's attempts takes too long, or the harness."""

    def __init__(self, steps: Steps, error: KernelDied | HarnessError) -> None:
        self.steps, self.error = steps, error


class _Differs(Exception):
    """Marks a finding for Hypothesis, which compares the type of the exception."""


def hunt(host: Host, drive: Drive, sequences: Sequences, examples: int, number: int) -> Finding | None:
    """The finding of the first successful search among ``examples`` sequences. Raises HarnessError."""
    for turn, begin in enumerate(range(0, examples, AT_ONCE)):
        finding = Hunt(host, drive).run(sequences, min(AT_ONCE, examples - begin), f"{number}, {turn}")
        if finding:
            return finding
    return None


def differing(steps: Steps, answers: Sequence[op.StepAnswer]) -> Finding | None:
    """The first wrong answer."""
    at = op.first_difference(steps, tuple(answers))
    return None if at is None else Finding(steps[: at + 1], tuple(answers[: at + 1]))


class Hunt:
    """One search. It caches each sequence's result, because Hypothesis repeats sequences and answers may vary."""

    def __init__(self, host: Host, drive: Drive) -> None:
        self._host, self._drive = host, drive
        self._results: dict[Steps, Finding | None] = {}
        self._attempts = 0

    def run(self, sequences: Sequences, examples: int, number: str) -> Finding | None:
        """The shortest finding in ``examples`` sequences of the seed ``number``. Raises HarnessError."""
        quiet = settings(
            max_examples=examples, database=None, deadline=None, phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet, print_blob=False,
        )  # fmt: skip
        try:
            with suppress(_Differs, _Enough):
                seed(number)(quiet(given(sequences)(self._check)))()
            findings = [each for each in self._results.values() if each]
            shortest = min(reversed(findings), key=lambda each: len(each.steps), default=None)
            return shortest and self._shorter(shortest)
        except _Failed as failed:
            if isinstance(failed.error, KernelDied):
                return self._of_death(failed.steps, failed.error)
            raise failed.error from None

    def _check(self, operations: list[op.OnVm]) -> None:
        if self._attempts > MOST_ATTEMPTS:
            raise _Enough
        finding = self._result(predict(self._host, operations))
        self._attempts += bool(finding or self._attempts)
        if finding:
            raise _Differs

    def _result(self, steps: Steps) -> Finding | None:
        if steps not in self._results:
            try:
                self._results[steps] = differing(steps, self._drive(steps))
            except (KernelDied, HarnessError) as error:
                raise _Failed(steps, error) from None
        return self._results[steps]

    def _shorter(self, finding: Finding) -> Finding:
        """Removes every call that the finding does not need: Hypothesis may have been stopped early."""
        operations = [step.operation for step in finding.steps]
        for at in reversed(range(len(operations))):
            shorter = self._result(predict(self._host, operations[:at] + operations[at + 1 :]))
            if shorter and len(shorter.steps) < len(finding.steps):
                return self._shorter(shorter)
        return finding

    # --- a kernel that dies ---------------------------------------------------

    def _of_death(self, steps: Steps, died: KernelDied) -> Finding:
        """The shortest fatal sequence. A death costs a boot, so the shortest attempts come first."""
        fatal = self._first_fatal([steps[: n + 1] for n in range(len(steps))])
        if fatal is None:
            return Finding(steps, (), died)
        *before, last = fatal.steps
        basis = [at for at, step in enumerate(before) if _makes(step.operation, last.operation)]
        rest = [at for at in range(len(before)) if at not in basis]
        kept = [sorted([*basis, *rest[len(rest) - n :]]) for n in range(len(rest))]
        # Without some calls the expected answers differ.
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
    """Whether a call creates or initialises the VM or vCPUs of the last one."""
    return isinstance(operation, (op.CreateVm, op.CreateVcpu, op.Init)) and operation.vm == last.vm
