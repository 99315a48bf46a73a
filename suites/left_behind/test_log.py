# SPDX-License-Identifier: GPL-2.0-only
"""The lines that a guest's calls, accesses of registers and refused calls write to the kernel's log.

These are a kernel's first tests: pr_err_ratelimited() prints nothing for five seconds after it has printed many lines.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.contract.check import Comparison
from helpers.contract.neighbours import PSCI_0_2, PSCI_1_0, PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Register
from helpers.kvm_program import KvmProgram
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterLike
from suites.conftest import MakeVm
from suites.left_behind.calling import CallingVm
from suites.left_behind.conftest import MakeRefusing
from suites.left_behind.log_lines import compare_log, repeated

pytestmark = pytest.mark.first


@pytest.mark.clause("LEFT-4")
def test_guest_calls(calling: CallingVm, renew_deadline: Callable[[], float]) -> None:
    """A guest's calls, each made many times, write no line to the kernel's log more than once."""
    comparison, subject = Comparison(), calling.vm.kvm.subject
    made, none = repeated(calling.make), repeated(calling.make_none)
    compare_log(comparison, "guest calls", subject, renew_deadline, made, none)
    comparison.done()


@pytest.mark.clause("LEFT-4")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_accepted_accesses(
    when: str, make_vm: MakeVm, registers: tuple[Register, ...], renew_deadline: Callable[[], float]
) -> None:
    """Accepted reads and writes of firmware registers, each made many times, write no line more than once."""
    vm, comparison = make_vm(2), Comparison()
    if when == "after_run":
        vm.vcpu.immediate_exit()
    versions = [version for version in (PSCI_0_2, PSCI_1_0) if not vm.vcpu.try_set_reg(PSCI_VERSION, version)]
    levels = [(each.register, vm.vcpu.try_get_reg(each.register)[0]) for each in WORKAROUND_REGISTERS]

    def access(p: KvmProgram) -> None:
        held: list[tuple[RegisterLike, int]] = [(register, value) for register, value in levels if value is not None]
        held += [*((r, r.reset) for r in registers), *((PSCI_VERSION, version) for version in versions)]
        for register, value in held:
            for vcpu in vm.vcpus:
                p.set_reg(vcpu.fd, p.one_reg(register, value))
                p.get_reg(vcpu.fd, p.one_reg(register))

    def count(p: KvmProgram) -> None:
        for _ in range(16):
            p.call(vm.vcpu.fd, uapi.KVM_GET_MP_STATE, p.structure(bytes(4)))

    accesses, others = repeated(access), repeated(count)
    compare_log(comparison, f"accepted accesses {when}", vm.kvm.subject, renew_deadline, accesses, others)
    comparison.done()


@pytest.mark.clause("LEFT-4")
@pytest.mark.parametrize("when", ["before_run", "after_run"])
def test_refused_calls(when: str, make_refusing: MakeRefusing, renew_deadline: Callable[[], float]) -> None:
    """Refused calls, each made many times, write no line to the kernel's log more than once."""
    refusing, comparison = make_refusing(when), Comparison()
    subject = refusing.vm.kvm.subject
    refused, answered = repeated(refusing.make), repeated(refusing.make_none)
    compare_log(comparison, f"refused calls {when}", subject, renew_deadline, refused, answered)
    comparison.done()
