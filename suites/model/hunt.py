# SPDX-License-Identifier: GPL-2.0-only
"""Searches for a sequence whose answers differ from the model's or in which the kernel dies, and shortens it."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.contract.model import operations as op
from helpers.contract.model.machine import predict
from helpers.contract.model.state import Host
from helpers.subjects.base import KernelDied
from suites.model.alphabet import Coverage
from suites.model.sequences import Generator
from suites.model.shrink import Drive, Finding, Shrinker, Steps, differing

AT_ONCE = 4
"""Number of sequences in one program of the search."""


class Hunt:
    """One search. ``coverage`` counts the events of all sequences so far."""

    def __init__(self, host: Host, drive: Drive) -> None:
        self._host, self._drive = host, drive
        self.coverage = Coverage()

    def run(self, mix: str, examples: int, length: int, seed: int) -> Finding | None:
        """The first finding in ``examples`` sequences, shortened. Raises HarnessError."""
        generator = Generator(self._host, mix, str(seed), self.coverage)
        for begin in range(0, examples, AT_ONCE):
            number = min(AT_ONCE, examples - begin)
            batch = [predict(self._host, generator.sequence(length)) for _ in range(number)]
            finding = self._first(batch)
            if finding is not None:
                return finding
        return None

    def _first(self, batch: Sequence[Steps]) -> Finding | None:
        """Makes the sequences in one program. Returns the first finding, shortened."""
        try:
            answers = self._drive(batch)
        except KernelDied as died:
            return self._of_death(batch, died)
        for number, each in enumerate(zip(batch, answers, strict=True)):
            finding = differing(*each)
            if finding is not None:
                return finding if _hangs(finding) else self._shortest(finding, batch[:number])
        return None

    # --- a wrong answer -------------------------------------------------------

    def _shortest(self, finding: Finding, before: Sequence[Steps]) -> Finding:
        """Shortens the finding. The result is driven alone at the end, so that the trace ends with its calls."""
        [alone] = self._driven([finding.steps])
        if alone is None and before:
            # The wrong answer depends on the VMs of the sequences before it.
            [alone] = self._driven([_joined([*before, finding.steps], self._host)])
        if alone is None:
            return finding
        shortest = Shrinker(self._host, self._drive).shortest(alone)
        [last] = self._driven([shortest.steps])
        if last is None:
            # The candidates in a program changed each other's answers. Shorten again with one candidate per program.
            shortest = Shrinker(self._host, self._drive, most_steps=0).shortest(alone)
            [last] = self._driven([shortest.steps])
        return last or alone

    def _driven(self, several: Sequence[Steps]) -> list[Finding | None]:
        return [differing(*each) for each in zip(several, self._drive(several), strict=True)]

    # --- a kernel that dies ---------------------------------------------------

    def _of_death(self, batch: Sequence[Steps], died: KernelDied) -> Finding:
        """Shortens the sequence in which the kernel died. A death costs a boot, so the shortest attempts come first."""
        fatal = self._first_fatal(batch)
        if fatal is None:
            return Finding(_joined(batch, self._host), (), died)
        fatal = self._first_fatal([fatal.steps[: n + 1] for n in range(len(fatal.steps))]) or fatal
        *before, last = fatal.steps
        basis = [at for at, step in enumerate(before) if _makes(step.operation, last.operation)]
        rest = [at for at in range(len(before)) if at not in basis]
        kept = [sorted([*basis, *rest[len(rest) - n :]]) for n in range(len(rest))]
        # The expected answers depend on the calls that are left.
        fewer = [predict(self._host, [*(before[at].operation for at in each), last.operation]) for each in kept]
        return self._first_fatal(fewer) or fatal

    def _first_fatal(self, attempts: Sequence[Steps]) -> Finding | None:
        for steps in attempts:
            try:
                self._drive([steps])
            except KernelDied as died:
                return Finding(steps, (), died)
        return None


def _hangs(finding: Finding) -> bool:
    """Whether the last call did not return before the deadline. Each attempt to shorten the sequence takes as long."""
    return finding.answers[-1][:1] == (None,)


def _joined(batch: Sequence[Steps], host: Host) -> Steps:
    """Joins the sequences into one. The VMs of a sequence are closed before the next one begins."""
    operations: list[op.OnVm] = []
    for steps in batch:
        first = 1 + max((each.vm for each in operations), default=-1)
        moved = [op.moved(step.operation, first) for step in steps]
        closed = {each.vm for each in moved if isinstance(each, op.CloseVm)}
        operations += moved
        operations += [op.CloseVm(vm) for vm in sorted({each.vm for each in moved} - closed)]
    while operations and isinstance(operations[-1], op.CloseVm):
        operations.pop()
    return predict(host, operations)


def _makes(operation: op.OnVm, last: op.OnVm) -> bool:
    """Whether a call creates or initialises the VM or vCPUs of the last one."""
    return isinstance(operation, (op.CreateVm, op.CreateVcpu, op.Init)) and operation.vm == last.vm
