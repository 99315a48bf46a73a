# SPDX-License-Identifier: GPL-2.0-only
"""A VM whose guest makes every kind of call that returns to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from helpers import guests
from helpers.contract.functions import GATED
from helpers.contract.neighbours import PSCI_CALLS
from helpers.kvm import Vm
from helpers.kvm_program import KvmProgram
from helpers.smccc import Call
from suites.support.calls import CONDUITS, GARBAGE, INSTRUCTIONS, call_of

DENIED = 0x84000052
"""TRNG_GET_UUID, which the VM's filter denies."""
_UNASSIGNED = (0x84000070, 0x85000030, 0x86000010, 0xC6000010, 0xBF000000)
"""Ids of no function."""
_NOBODY, _RESERVED = 0xFFFF00, 1 << 24
"""The affinity of no vCPU, and a reserved bit of affinities."""
_REFUSED = (
    (0xC4000003, (_NOBODY, 0, 0)), (0xC4000003, (_RESERVED, 0, 0)), (0x84000003, (0, 0, 0)), (0xC4000004, (_NOBODY, 0)),
    (0x84000004, (0, 9)), (0x84000012, (1, 0)), (0xC4000012, (1, 0)), (0x8400000A, (0x84000050,)), (0x84000005, ()),
    (0x8400001F, ()), (0x84000099, ()), (0xC6009999, ()), (0x80000001, (0xFFFFFFFF,)), (0xC5000020, (0x1234,)),
    (0xC4000053, (0xC1,)), (0x86000001, (9,)), (0, ()),
)  # fmt: skip
"""Calls whose arguments are wrong each in another way, and calls of unknown functions."""


def guest_requests() -> list[Call]:
    """Each service and PSCI function with valid and with wrong arguments, unassigned ids, and each immediate.

    None of the calls ends the guest's run.
    """
    calls = [call_of(function) for function in GATED]
    calls += [Call(f.id, (*f.args, *GARBAGE[len(f.args) :])) for f in PSCI_CALLS]
    functions = dict.fromkeys([*(f.id for f in GATED), *(f.id for f in PSCI_CALLS), *_UNASSIGNED])
    calls += [Call(function, GARBAGE) for function in functions]
    calls += [Call(function, args, form.conduit) for form in CONDUITS for function, args in _REFUSED]
    return [*calls, *(Call(0x80000000, GARBAGE, conduit) for conduit in INSTRUCTIONS)]


@dataclass(frozen=True)
class CallingVm:
    """A VM whose first vCPU makes calls. The second one is off."""

    vm: Vm

    def make(self, p: KvmProgram) -> None:
        """Makes every call once, in one KVM_RUN."""
        self._run(p, guest_requests())

    def make_none(self, p: KvmProgram) -> None:
        """Runs the guest without a call."""
        self._run(p, ())

    def _run(self, p: KvmProgram, calls: Sequence[Call]) -> None:
        guests.put_calls(p, self.vm.memory, calls)
        p.run(self.vm.vcpu.fd)
