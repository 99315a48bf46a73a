# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the suites fail on a KVM that breaks what they check. No report has a result from these KVMs."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from helpers import guests
from helpers.batch import KvmError, Pending
from helpers.contract.features import Probe
from helpers.contract.registers import MAINLINE
from helpers.executor.program import Answer, Arg, ArgType, OpResult, Program
from helpers.guest_layout import CALL_RECORD, MAILBOX_HEAD
from suites.capability.test_capability import test_check_extension as check_extension
from suites.history import test_guest_history as guest_history
from suites.migration import test_same_kernel as same_kernel
from suites.quiet import test_quiet as quiet

PROBE = Probe(MAINLINE, MAINLINE.registers, (), (0, 0), True, True, True, True, "7.2")


class CountingKvm:
    """Its answer to 207 depends on how many VMs there are."""

    def __init__(self, answer: Callable[[int], int]) -> None:
        self._answer, self._vms = answer, 0

    def check_extension(self, capability: int) -> int:
        return self._answer(self._vms)

    def make_vm(self) -> CountingKvm:
        self._vms += 1
        return self


@pytest.mark.parametrize("on", ["dev_kvm", "vm_fd"])
def test_a_capability_that_changes_with_other_vms(on: str) -> None:
    def check(answer: Callable[[int], int]) -> None:
        kvm: Any = CountingKvm(answer)
        check_extension(on, kvm, kvm.make_vm, PROBE)

    check(lambda vms: 0)
    own = 1 if on == "vm_fd" else 0
    for wrong in (lambda vms: int(vms > own), lambda vms: int(vms <= own)):
        with pytest.raises(AssertionError, match=r"actual: +0x1"):
            check(wrong)


CCSIDR, PSCI_VERSION = 0x6020000000110000, 0x6030000000140000


@pytest.mark.parametrize(
    ("refused", "fails"), [(CCSIDR, False), (PSCI_VERSION, True), (MAINLINE.registers[0].id, True)]
)
def test_migration_is_judged_by_firmware_registers(refused: int, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = dict.fromkeys([CCSIDR, PSCI_VERSION, MAINLINE.registers[0].id], 0) | {refused: errno.EINVAL}
    for name in ("fill", "save", "compare_view", "compare_open"):
        monkeypatch.setattr(same_kernel, name, lambda *arguments: None)
    monkeypatch.setattr(same_kernel, "restore", lambda *arguments: [errors, errors])
    notes: list[str] = []
    run = partial(same_kernel.test_nothing_refused, "list_order", "full", (), Mock(), PROBE, notes.append)
    if fails:
        with pytest.raises(AssertionError, match=rf"none refused\n *actual: .*{refused:#x}\): EINVAL"):
            run()
    else:
        run()
    assert [f"CCSIDR_EL1[0] ({CCSIDR:#x}): EINVAL" in note for note in notes] == [True] * (not fails)


class LenientVm:
    """A VM in which every write gives ``error``."""

    def __init__(self, error: int) -> None:
        self.vcpu, self.vcpus, self._error = None, [None, None], error

    def batch(self) -> LenientVm:
        return self

    def set(self, *arguments: object) -> Pending:
        return Pending("a write", Arg(ArgType.VALUE, 0, 0), result=OpResult(-1, self._error, True, b""))

    def run(self) -> None:
        """Nothing is left to do."""


class SilentWatch:
    """A kernel whose log holds ``complaints``, one for each look."""

    def __init__(self, *complaints: str) -> None:
        self._complaints = list(complaints)

    def sees(self) -> dict[str, str]:
        return {"kernel's taint": "not tainted", "kernel's log": "watched for warnings"}

    def complaint(self) -> str:
        return self._complaints.pop(0)


def refusals(monkeypatch: pytest.MonkeyPatch, error: int, *complaints: str) -> None:
    monkeypatch.setattr(guests, "call", lambda vcpu, call: None)
    watch: Any = SilentWatch(*complaints)
    quiet.test_refusals(watch, lambda vcpus: LenientVm(error), MAINLINE.registers)  # type: ignore[arg-type, return-value]


def test_a_warning_before_or_after_refused_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals(monkeypatch, 22, "", "")
    for complaints in (("WARNING", ""), ("", "WARNING")):
        with pytest.raises(AssertionError, match="WARNING"):
            refusals(monkeypatch, 22, *complaints)


def test_without_a_refused_write_nothing_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="no write was refused"):
        refusals(monkeypatch, 0, "", "")


_MAILBOX = MAILBOX_HEAD + 5 * CALL_RECORD
"""Bytes of a mailbox with the five calls of the test."""


class ManyRunsKvm:
    """A VM of test_many_calls_and_runs. Its subject answers every operation with ``errno``, or at the deadline."""

    def __init__(self, *, expired: bool, error: int = 0) -> None:
        self._expired, self._error = expired, error
        vcpus = [SimpleNamespace(fd=4 + n, index=n, run_address=0x1000, vm=self) for n in range(2)]
        self.vcpus, self.memory, self.kvm, self.subject = vcpus, 0x10000, self, self
        self.vcpu = Mock()
        self.set_filter = Mock()

    def run(self, program: Program) -> Answer:
        result = OpResult(-1, self._error, not self._expired, b"" if self._expired else bytes(_MAILBOX))
        return Answer(((result,) * guest_history.REPETITIONS,) * program.op_count, self._expired)


@pytest.mark.parametrize(
    ("expired", "error", "match"),
    [
        (True, 0, "did not end before the deadline"),
        (False, errno.EFAULT, r"KVM_RUN, repetition 1 on vCPU 0\n.*\n.*EFAULT"),
    ],
)
def test_many_runs_of_which_one_fails(expired: bool, error: int, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_history, "compare_fixed", Mock())
    vm: Any = ManyRunsKvm(expired=expired, error=error)
    with pytest.raises((AssertionError, KvmError), match=match):
        guest_history.test_many_calls_and_runs("STD", lambda count: vm, PROBE, MAINLINE.registers)
