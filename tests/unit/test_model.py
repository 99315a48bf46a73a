# SPDX-License-Identifier: GPL-2.0-only
"""The contract's state machine on short sequences, the search and the C reproducers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from errno import EBUSY, EEXIST, EINTR, EINVAL, ENOENT, ENOEXEC
from pathlib import Path

import pytest

from helpers.contract.calling_forms import SMC
from helpers.contract.functions import CLOSED
from helpers.contract.model import operations as op
from helpers.contract.model import text
from helpers.contract.model.guest_calls import CALLEES
from helpers.contract.model.machine import STALE, predict
from helpers.contract.model.reproducer import reproducer
from helpers.contract.neighbours import PSCI_0_1, PSCI_0_2, PSCI_VERSION
from helpers.contract.registers import RFC_V3
from helpers.errors import HarnessError
from helpers.smccc import U64
from helpers.subjects.base import KernelDied
from helpers.uapi.notation import RegisterId
from suites.model.hunt import AT_ONCE, Finding, Steps, hunt
from suites.model.sequences import MIXES, sequences
from tests.support import model
from tests.support.model import EVERY, HOST, INIT, MMIO, NOW, RUN, STD, TRNG, VCPU, VENDOR, VM, calls, denied, got, put

RFC = replace(HOST, dialect=RFC_V3, registers=RFC_V3.registers)
PSCI, HYPERCALL = model.PSCI, model.HYPERCALL
Trace = Sequence[tuple[op.OnVm, tuple[int, ...]]]
OPEN, CLOSED_X = (0, MMIO, 0x10000, 0, 0, 0), (0, MMIO, *CLOSED)
BEGUN: Trace = [(VM, (0,)), (VCPU, (0,)), (INIT, (0,))]
TRACES: dict[str, Trace] = {
    "defaults": [*BEGUN, (got(STD), (0, 1)), (got(VENDOR), (0, 3))],
    "a run fixes": [*BEGUN, (put(STD, 0), (0,)), (RUN, (0, MMIO)), (put(STD, 1), (EBUSY,)), (put(STD, 0), (0,)),
                    (put(STD, 2), (EINVAL,)), (got(STD), (0, 0))],
    "immediate_exit is a run": [*BEGUN, (NOW, (EINTR,)), (put(STD, 0), (EBUSY,))],
    "a refused run is none": [(VM, (0,)), (VCPU, (0,)), (RUN, (ENOEXEC,)), (op.Run(0, 0, op.How.ARGUMENT), (EINVAL,)),
                              (INIT, (0,)), (put(STD, 0), (0,))],
    "not initialised": [(VM, (0,)), (VCPU, (0,)), (got(STD), (ENOEXEC, STALE)), (put(STD, 0), (ENOEXEC,)),
                        (op.ListRegs(0, 0), (ENOEXEC,)), (calls(TRNG), (ENOEXEC,))],
    "another vCPU's run counts": [*BEGUN, (op.CreateVcpu(0, 1), (0,)), (op.Init(0, 1, PSCI), (0,)),
                                  (op.Run(0, 1, op.How.PLAIN), (0, MMIO)), (put(STD, 0), (EBUSY,))],
    "another VM's does not": [*BEGUN, (op.CreateVm(1), (0,)), (op.CreateVcpu(1, 0), (0,)), (op.Init(1, 0, PSCI), (0,)),
                              (op.Run(1, 0, op.How.PLAIN), (0, MMIO)), (put(STD, 0), (0,))],
    "INIT again keeps": [*BEGUN, (put(STD, 0), (0,)), (RUN, (0, MMIO)), (op.Init(0, 0, ()), (EINVAL,)), (INIT, (0,)),
                         (got(STD), (0, 0)), (put(STD, 1), (EBUSY,))],
    "a gate": [*BEGUN, (calls(TRNG), OPEN), (calls("KVM_FEATURES"), (0, MMIO, 3, 0, 0, 0))],
    "a closed gate": [*BEGUN, (put(STD, 0), (0,)), (calls(TRNG, SMC), CLOSED_X)],
    "unknown ids": [*BEGUN, (got(RegisterId("?", STD.id + 7)), (ENOENT, STALE)),
                    (put(RegisterId("?", STD.id ^ 1 << 52), 0), (ENOENT,)),
                    (got(RegisterId("?", STD.id ^ 1 << 62)), (EINVAL, STALE))],
    "denied": [*BEGUN, (denied(1), (0,)), (denied(2), (EEXIST,)), (calls(TRNG), CLOSED_X), (denied(1), (EBUSY,)),
               (denied(9), (EINVAL,))],
    "forwarded": [*BEGUN, (put(STD, 0), (0,)), (denied(2), (0,)),
                  (calls(TRNG, SMC), (0, HYPERCALL, 0x84000050, 1, 0, MMIO, *CALLEES[TRNG].call(SMC).registers[:4]))],
    "reserved and wrapping": [(VM, (0,)), (denied(1, 0x7FFFFFFF, 2), (EEXIST,)), (denied(1, 0xFFFFFFFF, 2), (EINVAL,)),
                              (denied(1, 1, 0), (EINVAL,)), (denied(1, 0xFFFFFFFF), (0,))],
    "stolen time": [*BEGUN, (op.PvTime(0, 0, op.Request.GET), (0, U64)), (calls("PV_TIME_ST"), CLOSED_X),
                    (op.PvTime(0, 0, op.Request.SET, 0x1F001), (EINVAL,)),
                    (op.PvTime(0, 0, op.Request.SET, 0x1F000), (0,)),
                    (op.PvTime(0, 0, op.Request.SET, 0x1F000), (EEXIST,)),
                    (calls("PV_TIME_ST"), (0, MMIO, 0x1F000, 0, 0, 0)), (op.PvTime(0, 0, op.Request.HAS), (0,))],
    "PSCI_VERSION": [*BEGUN, (got(PSCI_VERSION), (0, 0x10001)), (put(PSCI_VERSION, 0x10002), (EINVAL,)),
                     (RUN, (0, MMIO)),
                     (put(PSCI_VERSION, PSCI_0_2), (0,)), (calls("PSCI.PSCI_VERSION"), (0, MMIO, PSCI_0_2, 0, 0, 0)),
                     (INIT, (0,)), (got(PSCI_VERSION), (0, PSCI_0_2))],
    "PSCI 0.1": [(VM, (0,)), (VCPU, (0,)), (op.Init(0, 0, ()), (0,)), (got(PSCI_VERSION), (0, PSCI_0_1)),
                 (put(PSCI_VERSION, PSCI_0_2), (EINVAL,)), (calls("PSCI_VERSION"), CLOSED_X), (calls(TRNG), OPEN)],
    "questions": [*BEGUN, (VCPU, (EEXIST,)), (op.ListRegs(0, 0), (0, 3, 1, 1, 1)), (op.CheckExtension(0), (0,)),
                  (op.EnableCap(0), (EINVAL,)), (op.CloseVm(0), ())],
}  # fmt: skip


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_traces(trace: Trace) -> None:
    steps = predict(HOST, [operation for operation, _ in trace])
    assert [(s.operation, tuple(w.value for w in s.wants)) for s in steps] == [tuple(each) for each in trace]


def test_the_rfc() -> None:
    std = RegisterId("STD", RFC_V3.registers[0].id)
    operations = [VM, VCPU, RUN, INIT, op.CheckExtension(0), got(STD), put(std, 0), calls("KVM_FEATURES"), put(std, 1)]
    steps = predict(RFC, operations)
    # The RFC does not define whether a refused KVM_RUN is a run, so the model does not make it.
    assert RUN not in [s.operation for s in steps]
    assert [s.wants[0].value for s in steps] == [0, 0, 0, 3, ENOENT, 0, 0, EBUSY]
    assert steps[-2].wants[2].value == 1 | 1 << 1


def test_vms_and_vcpus_are_counted_among_those_there_are() -> None:
    operations = [op.CloseVm(1), VM, op.CreateVm(7), op.CreateVcpu(3, 2), op.Init(1, 9, PSCI), op.CloseVm(2), VCPU]
    applied = [s.operation for s in predict(HOST, operations)]
    second = [op.CreateVcpu(1, 2), op.Init(1, 2, PSCI)]
    assert applied == [VM, op.CreateVm(1), *second, op.CloseVm(0), op.CreateVcpu(1, 0)]


def test_what_the_contract_leaves_open_is_not_called() -> None:
    lacking = replace(HOST, smccc_filter=False, pv_time=False)
    assert predict(lacking, [VM, VCPU, denied(1), op.PvTime(0, 0, op.Request.HAS)])[2:] == ()
    assert predict(HOST, [VM, denied(1, 0, 0)])[1:] == ()
    mixed = [VM, VCPU, INIT, op.CreateVcpu(0, 1), op.Init(0, 1, ())]
    assert op.Init(0, 1, ()) not in [s.operation for s in predict(HOST, mixed)]
    assert not [s for s in predict(HOST, [*mixed[:3], calls("ARCH_FEATURES.WORKAROUND_1")]) if s.operation == mixed[-1]]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("TRNG_RND32.0x21", (0, 0, 1, 0xFFFFFFFF), (0, 0, 2, 0)),
        ("TRNG_RND64.0xc0", (0, U64, U64, U64), (1, 0, 0, 0)),
        ("KVM_PTP.VIRTUAL", (1, 2, 3, 4), CLOSED),
    ],
)
def test_of_some_answers_only_a_few_bits_are_known(name: str, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    wants = predict(HOST, [VM, VCPU, INIT, calls(name)])[-1].wants[2:]
    assert all(want.holds(x) for want, x in zip(wants, good, strict=True))
    assert not all(want.holds(x) for want, x in zip(wants, bad, strict=True))
    assert not wants[0].holds(None)


def honest(steps: Steps) -> list[op.StepAnswer]:
    return [tuple(want.value for want in step.wants) for step in steps]


def unlocked_by_init(steps: Steps) -> list[op.StepAnswer]:
    """A kernel that unlocks the registers at a second KVM_ARM_VCPU_INIT."""
    answers, again = honest(steps), set()
    for at, step in enumerate(steps):
        again |= {step.operation.vm} if isinstance(step.operation, op.Init) and at else set()
        if isinstance(step.operation, op.SetReg) and answers[at] == (EBUSY,) and again:
            ran = [s for s in steps[:at] if isinstance(s.operation, (op.Run, op.GuestCall))]
            last = max(n for n, s in enumerate(steps[:at]) if isinstance(s.operation, op.Init))
            if ran and steps.index(ran[-1]) < last:
                answers[at] = (0,)
    return answers


def hunted(drive: Callable[[Steps], Sequence[op.StepAnswer]], mix: str = "registers") -> Finding | None:
    return hunt(HOST, drive, sequences(HOST, mix, 40), 40, 0)


@pytest.mark.parametrize("mix", MIXES)
def test_an_honest_kernel(mix: str) -> None:
    driven: list[Steps] = []
    assert hunted(lambda steps: driven.append(steps) or honest(steps), mix) is None  # type: ignore[func-returns-value]
    kinds = {type(step.operation) for steps in driven for step in steps}
    assert len(driven) > 20 and {op.CreateVm, op.CreateVcpu, op.Init, op.SetReg} <= kinds
    again: list[Steps] = []
    hunted(lambda steps: again.append(steps) or honest(steps), mix)  # type: ignore[func-returns-value]
    assert again == driven, "the same seed gives other sequences"


def test_every_kind_of_call_is_made() -> None:
    kinds: set[type[op.OnVm]] = set()
    hunted(lambda steps: kinds.update(type(s.operation) for s in steps) or honest(steps), "everything")  # type: ignore
    assert kinds == {
        *(op.CreateVm, op.CreateVcpu, op.SetFilter, op.CheckExtension, op.EnableCap, op.CloseVm, op.Init, op.GetReg),
        *(op.SetReg, op.ListRegs, op.Run, op.GuestCall, op.PvTime),
    }


def test_the_shortest_sequence() -> None:
    finding = hunted(unlocked_by_init)
    assert finding is not None and finding.died is None
    kinds = [type(step.operation).__name__ for step in finding.steps]
    assert kinds == ["CreateVm", "CreateVcpu", "Init", "Run", "Init", "SetReg"], text.expected_text(finding.steps)


def test_a_kernel_that_does_not_answer() -> None:
    finding = hunted(lambda steps: [tuple(None for _ in step.wants) for step in steps])
    assert finding is not None and len(finding.steps) == 1
    assert "expected success, actual no answer" in text.sequence(finding.steps, finding.answers)


def test_a_kernel_that_dies() -> None:
    deaths = 0

    def mortal(steps: Steps) -> list[op.StepAnswer]:
        nonlocal deaths
        kinds = [type(s.operation) for s in steps]
        if op.ListRegs in kinds and op.SetReg in kinds[: kinds.index(op.ListRegs)]:
            deaths += 1
            raise KernelDied("lab:mortal", "it panicked", "Oops")
        return honest(steps)

    finding = hunted(mortal)
    assert finding is not None and finding.died is not None and deaths == 3
    kinds = [type(step.operation) for step in finding.steps]
    assert kinds[-1] is op.ListRegs and op.SetReg in kinds and len(kinds) < 20


def test_a_long_search_goes_on_with_other_sequences() -> None:
    driven: list[Steps] = []
    hunt(HOST, lambda s: driven.append(s) or honest(s), sequences(HOST, "registers", 2), AT_ONCE + 40, 0)  # type: ignore
    assert len(driven) > AT_ONCE / 4 and len(set(driven[-20:]) - set(driven[:-20])) > 5


def test_a_lost_machine_is_no_finding() -> None:
    def lost(steps: Steps) -> list[op.StepAnswer]:
        raise HarnessError("The machine was lost")

    with pytest.raises(HarnessError, match="was lost"):
        hunted(lost)


def test_a_person_can_read_it() -> None:
    steps = predict(HOST, [VM, VCPU, INIT, RUN, put(STD, 0)])
    shown = text.sequence(steps, [*honest(steps)[:-1], (0,)])
    assert "   3. VM 0, vCPU 0: KVM_ARM_VCPU_INIT with KVM_ARM_VCPU_PSCI_0_2 -> success" in shown
    assert "   4. VM 0, vCPU 0: KVM_RUN, a guest with no call to make -> success, KVM_EXIT_MMIO" in shown
    assert shown.endswith(
        "   5. VM 0, vCPU 0: KVM_SET_ONE_REG STD (0x6030000000160000) = 0x0 (no bit) -> success\n"
        "      KVM_SET_ONE_REG: expected EBUSY, actual success"
    )


def test_every_call_can_be_read() -> None:
    shown = text.expected_text(predict(HOST, EVERY))
    for words in (
        "KVM_GET_REG_LIST -> success, bitmap registers listed = 3, times that STD is listed = 1",
        "KVM_SET_DEVICE_ATTR KVM_ARM_VM_SMCCC_FILTER: base 0x84000050, nr_functions 0x1, action 2 (FWD_TO_USER)",
        "the guest makes SMC TRNG_VERSION (x0 = 0x84000050, x1 = ",
        "hypercall.nr = 0x84000050, hypercall.flags = 0x1, success, KVM_EXIT_MMIO, x0 = 0x84000050",
        "KVM_GET_ONE_REG STD, id of size U32 (0x6020000000160000) -> ENOENT",
        "KVM_SET_DEVICE_ATTR KVM_ARM_VCPU_PVTIME_IPA = 0x1f040 -> success",
        "KVM_CHECK_EXTENSION 207 -> ",
        "VM 0: close its vCPUs and itself",
    ):
        assert words in shown, shown


@pytest.mark.parametrize("steps", [predict(HOST, EVERY), predict(HOST, [VM])], ids=["every_call", "one_call"])
def test_the_program_compiles_without_a_warning(steps: Steps, tmp_path: Path) -> None:
    assert model.compiled(tmp_path, steps, "-Wall", "-Wextra", "-Werror", "-O2").stat().st_size > 0


def test_nothing_is_left_to_fill_in() -> None:
    source = reproducer(HOST, predict(HOST, EVERY), b"\x01\x00\x00\x00" * 8, "A title")
    assert not re.findall(r"@\w+@", source) and "#include <linux" not in source
