# SPDX-License-Identifier: GPL-2.0-only
"""The model's search: its sequences, what they cover, and how a wrong answer's sequence is shortened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from errno import EBUSY, EINVAL

import pytest

from helpers.contract.model import operations as op
from helpers.contract.model import text
from helpers.contract.model.blame import broken_clauses
from helpers.contract.neighbours import PSCI_VERSION
from helpers.contract.registers import RFC_V3
from helpers.errors import HarnessError
from helpers.subjects.base import KernelDied
from suites.events.perform import ACTORS
from suites.model.alphabet import EVENT_NAMES, FEATURE_SETS, topologies_of
from suites.model.hunt import Hunt
from suites.model.sequences import MIXES
from suites.model.shrink import MOST_ROUND_TRIPS, Finding, Steps
from tests.support.model import HOST, honest

ANY = replace(HOST, features=FEATURE_SETS, vcpu_ids=(*HOST.vcpu_ids, 17))
Answers = Callable[[Steps], Sequence[op.StepAnswer]]
LENGTH = 40


class Driven:
    """A kernel with these answers. It counts the round trips, and keeps the sequences."""

    def __init__(self, answers: Answers = honest) -> None:
        self.answers, self.trips, self.sequences = answers, 0, list[Steps]()

    def __call__(self, sequences: Sequence[Steps]) -> list[Sequence[op.StepAnswer]]:
        self.trips += 1
        self.sequences += sequences
        return [self.answers(steps) for steps in sequences]

    @property
    def operations(self) -> list[op.OnVm]:
        return [step.operation for steps in self.sequences for step in steps]


def hunted(kernel: Driven, *mixes: str, examples: int = 40, seed: int = 0) -> Finding | None:
    hunts = (Hunt(ANY, kernel).run(mix, examples, LENGTH, seed) for mix in mixes or MIXES)
    return next((finding for finding in hunts if finding), None)


def kinds(finding: Finding | None) -> list[str]:
    assert finding is not None
    return [type(step.operation).__name__ for step in finding.steps]


@pytest.mark.parametrize("mix", MIXES)
def test_a_kernel_without_a_fault(mix: str) -> None:
    kernel, again, other = Driven(), Driven(), Driven()
    assert hunted(kernel, mix) is None
    assert len(set(kernel.sequences)) == 40
    hunted(again, mix)
    assert again.sequences == kernel.sequences, "the same seed gives other sequences"
    hunted(other, mix, seed=1)
    assert not set(other.sequences) & set(kernel.sequences)


def test_the_rfc() -> None:
    kernel = Driven()
    host = replace(ANY, dialect=RFC_V3, registers=RFC_V3.registers, smccc_filter=False, smc=False)
    assert all(Hunt(host, kernel).run(mix, 8, LENGTH, 0) is None for mix in MIXES)
    assert {type(each) for each in kernel.operations} >= {op.SetReg, op.Disturb, op.GuestCall}


def test_every_kind_of_call_is_made() -> None:
    kernel = Driven()
    hunted(kernel)
    assert {type(each) for each in kernel.operations} == {
        *(op.CreateVm, op.CreateVcpu, op.SetFilter, op.CheckExtension, op.EnableCap, op.CloseVm, op.Init, op.GetReg),
        *(op.SetReg, op.ListRegs, op.Run, op.GuestCall, op.PvTime, op.ForwardedCall, op.ResumeGuest, op.Disturb),
        op.Restart,
    }


def test_a_run_has_every_event_topology_and_actor() -> None:
    kernel = Driven()
    hunt = Hunt(ANY, kernel)
    hunt.run("events", 40, LENGTH, 0)
    events = [each for each in kernel.operations if isinstance(each, op.Disturb)]
    assert {each.event for each in events} == set(EVENT_NAMES) and {each.actor for each in events} == set(ACTORS)
    reached = {pair for pair, number in hunt.coverage.counts.items() if number}
    assert {topology for _, topology in reached} >= set(topologies_of(ANY))
    for when in ("before_run", "after_run"):
        missing = set(EVENT_NAMES) - {event for event, state in reached if state.startswith(when)}
        assert len(missing) < len(EVENT_NAMES) / 10, (when, missing)
    number, _, pairs = hunt.coverage.text(topologies_of(ANY)).split()[:3]
    assert 0.4 * int(pairs) < int(number) <= int(pairs)


def test_vms_have_up_to_four_vcpus_with_any_ids_and_features() -> None:
    kernel = Driven()
    hunted(kernel)
    vcpus = [
        [s.operation.id for s in steps if isinstance(s.operation, op.CreateVcpu) and s.operation.vm == 0]
        for steps in kernel.sequences
    ]
    assert {len(set(ids)) for ids in vcpus} == {1, 2, 3, 4} and any(ids != sorted(ids) for ids in vcpus)
    assert {number for ids in vcpus for number in ids} == set(ANY.vcpu_ids)
    inits = [step for steps in kernel.sequences for step in steps if isinstance(step.operation, op.Init)]
    assert {s.operation.features for s in inits if isinstance(s.operation, op.Init)} == set(FEATURE_SETS)
    assert {step.wants[0].value for step in inits} == {0, EINVAL}


def test_a_host_without_optional_features() -> None:
    kernel = Driven()
    Hunt(replace(HOST, pv_time=False, smccc_filter=False), kernel).run("everything", 20, LENGTH, 0)
    assert not {type(each) for each in kernel.operations} & {op.PvTime, op.SetFilter, op.ForwardedCall}
    assert "pmu" not in topologies_of(HOST) and "pmu" in topologies_of(ANY)


# --- faults ---------------------------------------------------------------------


def wrong_where(is_wrong: Callable[[Sequence[op.OnVm], op.Step], bool], instead: op.StepAnswer) -> Driven:
    """A kernel that gives ``instead`` where the calls before a step make its answer wrong."""

    def answers(steps: Steps) -> list[op.StepAnswer]:
        operations = [step.operation for step in steps]
        return [
            instead if is_wrong(operations[:at], step) else answer
            for at, (step, answer) in enumerate(zip(steps, honest(steps), strict=True))
        ]

    return Driven(answers)


def on(vm: int, operations: Iterable[op.OnVm], kind: type[op.OnVm]) -> list[op.OnVm]:
    return [each for each in operations if isinstance(each, kind) and each.vm == vm]


def locked(step: op.Step) -> bool:
    return isinstance(step.operation, op.SetReg) and step.wants[0].value == EBUSY


def unlocked_by_init(before: Sequence[op.OnVm], step: op.Step) -> bool:
    """A second KVM_ARM_VCPU_INIT unlocks, until the next run."""
    own = [each for each in before if each.vm == step.operation.vm]
    runs = [at for at, each in enumerate(own) if isinstance(each, (op.Run, op.GuestCall, op.Disturb, op.ForwardedCall))]
    return locked(step) and bool(runs) and any(isinstance(each, op.Init) for each in own[runs[-1] :])


def test_the_shortest_sequence() -> None:
    kernel = wrong_where(unlocked_by_init, (0,))
    finding = hunted(kernel, "registers")
    assert finding is not None and len(finding.steps) <= 8, finding
    assert kinds(finding)[:3] == ["CreateVm", "CreateVcpu", "Init"] and kinds(finding)[-1] == "SetReg"
    assert kernel.trips < 12 + MOST_ROUND_TRIPS


def third_vcpu_turns_on(before: Sequence[op.OnVm], step: op.Step) -> bool:
    """CPU_ON by a guest on the third vCPU unlocks."""
    vcpus = [each.id for each in on(step.operation.vm, before, op.CreateVcpu) if isinstance(each, op.CreateVcpu)]
    events = on(step.operation.vm, before, op.Disturb)
    return locked(step) and any(
        isinstance(each, op.Disturb) and each.event == "psci_cpu_on" and each.vcpu in list(dict.fromkeys(vcpus))[2:]
        for each in events
    )


def test_an_event_of_the_third_vcpu() -> None:
    kernel = wrong_where(third_vcpu_turns_on, (0,))
    finding = hunted(kernel, "events", examples=200)
    assert finding is not None and kinds(finding)[-2:] == ["Disturb", "SetReg"]
    assert kinds(finding).count("Disturb") == 1 and kinds(finding).count("CreateVcpu") == 3
    assert broken_clauses(finding.steps, finding.answers) == ("MODEL-1", "LOCK-1", "EVENT-2")
    assert [s.operation.actor for s in finding.steps if isinstance(s.operation, op.Disturb)] == [ACTORS[0]]


def other_vms_filter(before: Sequence[op.OnVm], step: op.Step) -> bool:
    """A filter that denies TRNG_VERSION applies to every VM."""
    made = isinstance(step.operation, op.GuestCall) and step.operation.name == "TRNG_VERSION" and len(step.wants) > 2
    filters = [each for each in before if isinstance(each, op.SetFilter) and each.vm != step.operation.vm]
    return made and any(each.base <= 0x84000050 < each.base + each.count and each.action == 1 for each in filters)


def test_a_filter_of_another_vm() -> None:
    kernel = wrong_where(other_vms_filter, (0, 6, 1, 2, 3, 4))
    finding = hunted(kernel, "filter", examples=200)
    assert sorted(kinds(finding)) == ["CreateVcpu", "CreateVm", "CreateVm", "GuestCall", "Init", "SetFilter"]
    assert finding is not None and broken_clauses(finding.steps, finding.answers)[-1] == "FILTER-12"


def test_a_lock_that_depends_on_the_features() -> None:
    def without_psci(before: Sequence[op.OnVm], step: op.Step) -> bool:
        inits = [each.features for each in on(step.operation.vm, before, op.Init) if isinstance(each, op.Init)]
        return locked(step) and bool(inits) and inits[0] == ()

    finding = hunted(wrong_where(without_psci, (0,)), "registers")
    assert kinds(finding)[:3] == ["CreateVm", "CreateVcpu", "Init"] and kinds(finding)[-1] == "SetReg"
    assert finding is not None and len(finding.steps) <= 6
    assert broken_clauses(finding.steps, finding.answers) == ("MODEL-1", "LOCK-1")


def test_an_event_that_only_runs_is_not_blamed() -> None:
    kernel = wrong_where(lambda before, step: locked(step), (0,))
    for seed in range(10):
        finding = hunted(kernel, "events", seed=seed)
        assert finding is not None and "Disturb" not in kinds(finding)
        assert broken_clauses(finding.steps, finding.answers) == ("MODEL-1", "LOCK-1")


def test_the_seventeenth_write() -> None:
    def many(before: Sequence[op.OnVm], step: op.Step) -> bool:
        return isinstance(step.operation, op.GetReg) and len(on(step.operation.vm, before, op.SetReg)) > 4

    kernel = wrong_where(many, (0, 77))
    finding = hunted(kernel, "registers")
    assert kinds(finding).count("SetReg") == 5 and len(kinds(finding)) <= 9
    assert kernel.trips < 12 + MOST_ROUND_TRIPS


def test_a_wrong_answer_that_needs_the_sequences_before() -> None:
    """What an earlier VM of the same program left behind is part of the sequence."""
    seen: list[int] = []

    def answers(sequences: Sequence[Steps]) -> list[Sequence[op.StepAnswer]]:
        """PSCI_VERSION reads wrong in a program whose VMs before wrote it."""
        written, several = False, list[Sequence[op.StepAnswer]]()
        for steps in sequences:
            answer = honest(steps)
            vm = None
            for at, step in enumerate(steps):
                if isinstance(step.operation, op.SetReg) and step.operation.register == PSCI_VERSION:
                    written, vm = True, step.operation.vm
                reads = isinstance(step.operation, op.GetReg) and step.operation.register == PSCI_VERSION
                if reads and written and vm != step.operation.vm:
                    answer[at] = (0, 99)
            several.append(answer)
        seen.append(len(sequences))
        return several

    finding = Hunt(ANY, answers).run("registers", 40, LENGTH, 0)
    assert finding is not None
    assert {type(each.operation) for each in finding.steps} >= {op.SetReg, op.GetReg}
    assert "DEFAULT-2" in broken_clauses(finding.steps, finding.answers) and seen[-1] == 1


def test_a_wrong_answer_that_does_not_come_again() -> None:
    trips = 0

    def once(sequences: Sequence[Steps]) -> list[Sequence[op.StepAnswer]]:
        nonlocal trips
        trips += 1
        answers = [honest(steps) for steps in sequences]
        if trips == 1:
            # An event has no answer that could be wrong.
            last = max(number for number, answer in enumerate(answers[-1]) if answer)
            answers[-1][last] = tuple(1 for _ in answers[-1][last])
        return list(answers)

    finding = Hunt(ANY, once).run("registers", 4, LENGTH, 0)
    assert finding is None or len(finding.steps) > LENGTH / 2


def test_a_kernel_that_does_not_answer() -> None:
    finding = hunted(Driven(lambda steps: [tuple(None for _ in step.wants) for step in steps]))
    assert finding is not None and kinds(finding) == ["CreateVm"]
    assert "expected success, actual no answer" in text.sequence(finding.steps, finding.answers)


def test_a_call_that_hangs_is_not_made_again() -> None:
    def hangs(steps: Steps) -> list[op.StepAnswer]:
        answers = honest(steps)
        at = next((n for n, step in enumerate(steps) if isinstance(step.operation, op.GuestCall)), len(steps))
        return [answer if n < at else tuple(None for _ in answer) for n, answer in enumerate(answers)]

    kernel = Driven(hangs)
    finding = hunted(kernel, "guest")
    assert finding is not None and kinds(finding)[-1] == "GuestCall" and kernel.trips == 1
    assert kinds(finding).count("GuestCall") == 1


def test_a_kernel_that_dies() -> None:
    deaths = 0

    def mortal(steps: Steps) -> list[op.StepAnswer]:
        nonlocal deaths
        own = [type(s.operation) for s in steps]
        if op.ListRegs in own and op.SetReg in own[: own.index(op.ListRegs)]:
            deaths += 1
            raise KernelDied("lab:mortal", "it panicked", "Oops")
        return honest(steps)

    finding = hunted(Driven(mortal), "registers")
    assert finding is not None and finding.died is not None and deaths <= 4
    assert kinds(finding)[-1] == "ListRegs" and "SetReg" in kinds(finding) and len(kinds(finding)) < 20


def test_a_lost_machine_is_no_finding() -> None:
    def lost(steps: Steps) -> list[op.StepAnswer]:
        raise HarnessError("The machine was lost")

    with pytest.raises(HarnessError, match="was lost"):
        hunted(Driven(lost))
