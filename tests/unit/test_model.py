# SPDX-License-Identifier: GPL-2.0-only
"""The contract's state machine on short sequences, the clauses of its answers, and the C reproducers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from errno import EBUSY, EEXIST, EINTR, EINVAL, ENOENT, ENOEXEC
from pathlib import Path

import pytest

from helpers.contract.calling_forms import HVC, SMC
from helpers.contract.clauses import CLAUSES as KNOWN_CLAUSES
from helpers.contract.functions import CLOSED
from helpers.contract.model import operations as op
from helpers.contract.model import text
from helpers.contract.model.blame import broken_clauses
from helpers.contract.model.guest_calls import CALLEES
from helpers.contract.model.machine import predict
from helpers.contract.model.reproducer import reproducer
from helpers.contract.model.state import STALE
from helpers.contract.neighbours import PSCI_0_1, PSCI_0_2, PSCI_VERSION
from helpers.contract.registers import RFC_V3
from helpers.smccc import U64
from helpers.uapi.notation import RegisterId
from suites.model.shrink import Steps
from tests.support import model
from tests.support.model import (
    EVERY,
    HOST,
    INIT,
    MMIO,
    NOW,
    RUN,
    STD,
    TRNG,
    VCPU,
    VENDOR,
    VM,
    calls,
    denied,
    event,
    got,
    honest,
    put,
    stays,
)  # fmt: skip

RFC = replace(HOST, dialect=RFC_V3, registers=RFC_V3.registers)
PSCI, HYPERCALL = model.PSCI, model.HYPERCALL
Trace = Sequence[tuple[op.OnVm, tuple[int, ...]]]
OPEN, CLOSED_X = (0, MMIO, 0x10000, 0, 0, 0), (0, MMIO, *CLOSED)
LEFT = (0, HYPERCALL, 0x84000050, 0, 0, MMIO, *CALLEES[TRNG].call(HVC).registers[:4])
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
    "an event changes nothing": [*BEGUN, (put(STD, 0), (0,)), (event("stop_and_start"), ()), (got(STD), (0, 0)),
                                 (put(STD, 1), (0,))],
    "an event that runs": [*BEGUN, (event("run_immediate_exit"), ()), (put(STD, 0), (EBUSY,)), (denied(1), (EBUSY,))],
    "an event that writes": [*BEGUN, (event("psci_version"), ()), (got(PSCI_VERSION), (0, PSCI_0_2))],
    "in progress": [*BEGUN, (denied(2), (0,)), (stays(TRNG), (0, HYPERCALL, 0x84000050, 0)), (put(STD, 0), (EBUSY,)),
                    (op.ResumeGuest(0, 0), (0, MMIO, *CALLEES[TRNG].call(HVC).registers[:4])), (calls(TRNG), LEFT)],
    "questions": [*BEGUN, (VCPU, (EEXIST,)), (op.ListRegs(0, 0), (0, 3, 1, 1, 1)), (op.CheckExtension(0), (0,)),
                  (op.EnableCap(0), (EINVAL,)), (op.CloseVm(0), ())],
}  # fmt: skip


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_traces(trace: Trace) -> None:
    steps = predict(HOST, [operation for operation, _ in trace])
    made = [(bare(s.operation), tuple(w.value for w in s.wants)) for s in steps]
    assert made == [tuple(each) for each in trace]


def bare(operation: op.OnVm) -> op.OnVm:
    """The call without what the model fills in."""
    return replace(operation, features=(), values=()) if isinstance(operation, op.Disturb) else operation


def test_the_rfc() -> None:
    std = RegisterId("STD", RFC_V3.registers[0].id)
    operations = [VM, VCPU, RUN, INIT, op.CheckExtension(0), got(STD), put(std, 0), calls("KVM_FEATURES"), put(std, 1)]
    steps = predict(RFC, operations)
    # The RFC does not define whether a refused KVM_RUN is a run, so the model does not make it.
    assert RUN not in [s.operation for s in steps]
    assert [s.wants[0].value for s in steps] == [0, 0, 0, 3, ENOENT, 0, 0, EBUSY]
    assert steps[-2].wants[2].value == 1 | 1 << 1


def test_a_call_on_what_does_not_exist_is_not_made() -> None:
    wrong = [op.CloseVm(1), op.CreateVcpu(3, 2), op.Init(0, 9, PSCI), op.CreateVcpu(0, 7), op.ResumeGuest(0, 0)]
    assert [s.operation for s in predict(HOST, [*wrong, VM, VCPU, *wrong])] == [VM, VCPU]
    assert [s.operation for s in predict(HOST, [VM, op.CloseVm(0), VM, op.CreateVm(4)])][2:] == [op.CreateVm(4)]


def test_protected_kvm_runs_no_vcpu_that_is_created_late() -> None:
    late = op.CreateVcpu(0, 1)
    protected = replace(HOST, late_vcpus=False)
    assert late in [s.operation for s in predict(HOST, [VM, VCPU, INIT, NOW, late])]
    assert late in [s.operation for s in predict(protected, [VM, VCPU, INIT, late, NOW])]
    assert late not in [s.operation for s in predict(protected, [VM, VCPU, INIT, NOW, late])]


def test_an_event_gets_its_place_in_the_vm() -> None:
    second = [op.CreateVcpu(0, 3), op.Init(0, 3, PSCI), op.CreateVcpu(0, 2), put(STD, 0)]
    made = predict(
        HOST, [*[o for o, _ in BEGUN], *second, event("irq_line"), event("irq_line", 3), event("irq_line", 2)]
    )
    places = [(s.operation.vcpu, s.operation.other) for s in made if isinstance(s.operation, op.Disturb)]
    assert places == [(0, 3), (3, 0)], "vCPU 2 is not initialised"
    assert isinstance(made[-1].operation, op.Disturb)
    assert (made[-1].operation.features, dict(made[-1].operation.values)["STD"]) == (PSCI, 0)


def test_an_event_that_initialises_ends_a_call_in_progress() -> None:
    begun = [*[o for o, _ in BEGUN], denied(2), stays(TRNG)]
    resumed = op.ResumeGuest(0, 0)
    assert resumed in [s.operation for s in predict(HOST, [*begun, event("irq_line"), resumed])]
    assert resumed not in [s.operation for s in predict(HOST, [*begun, event("init_again"), op.Restart(0), resumed])]
    assert calls(TRNG) not in [s.operation for s in predict(HOST, [*begun, calls(TRNG)])]


def test_guests_wait_for_a_restart() -> None:
    begun = [*[o for o, _ in BEGUN], op.Restart(0), event("psci_system_off")]
    later = [calls(TRNG), RUN, NOW, INIT, event("irq_line"), got(STD)]
    steps = predict(HOST, [*begun, *later, op.Restart(0), op.Restart(0), *later])
    made = [bare(step.operation) for step in steps][3:]
    assert made == [begun[-1], got(STD), op.Restart(0, completes=True), *later]
    assert predict(HOST, [*begun[:3], event("init_again"), op.Restart(0)])[-1].operation == op.Restart(0)


def test_what_the_contract_leaves_open_is_not_called() -> None:
    lacking = replace(HOST, smccc_filter=False, pv_time=False)
    assert predict(lacking, [VM, VCPU, denied(1), op.PvTime(0, 0, op.Request.HAS)])[2:] == ()
    assert predict(HOST, [VM, denied(1, 0, 0)])[1:] == ()
    mixed = [VM, VCPU, INIT, op.CreateVcpu(0, 1), op.Init(0, 1, ())]
    assert op.Init(0, 1, ()) not in [s.operation for s in predict(HOST, mixed)]
    assert not [s for s in predict(HOST, [*mixed[:3], calls("ARCH_FEATURES.WORKAROUND_1")]) if s.operation == mixed[-1]]
    suspend = calls("PSCI.FEATURES.SYSTEM_SUSPEND")
    assert suspend in [s.operation for s in predict(HOST, [*mixed[:3], suspend])]
    assert suspend not in [s.operation for s in predict(HOST, [*mixed[:3], event("enable_cap_0"), suspend])]
    arm32 = [VM, VCPU, op.Init(0, 0, (*PSCI, 1))]
    for operation in (calls(TRNG), RUN, event("psci_cpu_on")):
        assert operation not in [s.operation for s in predict(HOST, [*arm32, operation])]
    assert [s.wants[0].value for s in predict(HOST, [*arm32, NOW, put(STD, 0)])][3:] == [EINTR, EBUSY]


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


CLAUSES: dict[str, tuple[list[op.OnVm], tuple[str, ...]]] = {
    "lock": ([RUN, put(STD, 0)], ("LOCK-1",)),
    "same value": ([RUN, put(STD, 1)], ("LOCK-2",)),
    "unsupported bit after a run": ([RUN, put(STD, 2)], ("LOCK-3",)),
    "unsupported bit": ([put(STD, 2)], ("LIMIT-2",)),
    "accepted": ([put(STD, 0)], ("LIMIT-1",)),
    "read after a run": ([RUN, got(STD)], ("LOCK-4",)),
    "reset value": ([got(STD)], ("DEFAULT-1",)),
    "unknown id": ([put(RegisterId("?", STD.id + 7), 0)], ("ACCESS-6",)),
    "filter after a run": ([RUN, denied(1)], ("FILTER-4",)),
    "filter twice": ([denied(1), denied(2)], ("FILTER-3",)),
    "denied": ([denied(1), calls(TRNG)], ("FILTER-7",)),
    "forwarded": ([denied(2), calls(TRNG)], ("FILTER-8",)),
    "open": ([calls(TRNG)], ("CALL-1",)),
    "closed": ([put(STD, 0), calls(TRNG)], ("CALL-2",)),
    "list": ([op.ListRegs(0, 0)], ("CAP-2",)),
    "capability": ([op.CheckExtension(0)], ("CAP-1",)),
    "version": ([got(PSCI_VERSION)], ("PSCI-1",)),
    "version after a run": ([RUN, put(PSCI_VERSION, PSCI_0_2)], ("PSCI-3",)),
    "argument": ([op.Run(0, 0, op.How.ARGUMENT)], ("RUN-1",)),
    "immediate_exit": ([NOW], ("RUN-4",)),
    "stolen time": ([op.PvTime(0, 0, op.Request.GET)], ("PVTIME-4",)),
    "an event and a value": ([event("irq_line"), got(STD)], ("DEFAULT-1", "EVENT-1")),
    "an event and the lock": ([event("run_immediate_exit"), put(STD, 0)], ("LOCK-1", "EVENT-2")),
    "an event and a version": ([event("irq_line"), got(PSCI_VERSION)], ("PSCI-1", "EVENT-3")),
    "an event and a guest": ([event("irq_line"), calls(TRNG)], ("CALL-1", "EVENT-4")),
    "two VMs and a value": ([op.CreateVm(1), got(STD)], ("DEFAULT-1", "DEFAULT-2")),
    "two VMs and the lock": ([op.CreateVm(1), put(STD, 0)], ("LIMIT-1", "RUN-6")),
    "two VMs and a filter": ([op.CreateVm(1), op.SetFilter(1, 0x84000050, 1, 1), calls(TRNG)], ("CALL-1", "FILTER-12")),
}


@pytest.mark.parametrize(("operations", "clauses"), CLAUSES.values(), ids=CLAUSES)
def test_a_wrong_answer_contradicts_a_clause(operations: list[op.OnVm], clauses: tuple[str, ...]) -> None:
    steps = predict(HOST, [*[o for o, _ in BEGUN], *operations])
    wrong = "exit_reason" if clauses[0] == "FILTER-8" else "x0"
    at = next((n for n, want in enumerate(steps[-1].wants) if want.name == wrong), len(steps[-1].wants) - 1)
    answers = honest(steps)
    answers[-1] = tuple(value ^ 1 if n == at else value for n, value in enumerate(answers[-1]) if value is not None)
    assert broken_clauses(steps, answers) == ("MODEL-1", *clauses)
    assert {each for each in broken_clauses(steps, answers) if each not in KNOWN_CLAUSES} == set()


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
        "event irq_line by ",
        "KVM_RUN, the guest goes on after its forwarded call -> success, KVM_EXIT_MMIO, x0 = 0x84000050",
    ):
        assert words in shown, shown


@pytest.mark.parametrize("steps", [predict(HOST, EVERY), predict(HOST, [VM])], ids=["every_call", "one_call"])
def test_the_program_compiles_without_a_warning(steps: Steps, tmp_path: Path) -> None:
    assert model.compiled(tmp_path, steps, "-Wall", "-Wextra", "-Werror", "-O2").stat().st_size > 0


def test_nothing_is_left_to_fill_in() -> None:
    source = reproducer(HOST, predict(HOST, EVERY), b"\x01\x00\x00\x00" * 8, "A title", model.in_c)
    assert not re.findall(r"@\w+@", source) and "#include <linux" not in source
