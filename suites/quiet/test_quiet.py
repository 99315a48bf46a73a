# SPDX-License-Identifier: GPL-2.0-only
"""A VM with refused calls causes no warning and no taint of the kernel. Every other test is checked in the same way."""

from __future__ import annotations

import pytest

from helpers import guests
from helpers.contract.registers import Register
from helpers.smccc import Call
from helpers.subjects.watch import Watch
from suites.conftest import MakeVm


@pytest.mark.clause("QUIET-1")
def test_refusals(watch: Watch, make_vm: MakeVm, registers: tuple[Register, ...]) -> None:
    """Every bit of every register is tried before and after a run."""
    unseen = [text for text in watch.sees().values() if text.startswith("not watched")]
    if len(unseen) == 2:
        pytest.skip(f"not applicable, because neither the kernel's log nor its taint can be read: {'; '.join(unseen)}")
    before = watch.complaint()
    vm = make_vm(2)
    for when in ("before", "after"):
        batch = vm.batch()
        writes = [batch.set(vm.vcpu, register, 1 << bit) for register in registers for bit in range(64)]
        batch.run()
        assert any(write.errno for write in writes), f"no write was refused {when} the run"
        guests.call(vm.vcpus[1], Call(0x80000000))
    assert not before, f"before the first call: {before}"
    complaint = watch.complaint()
    assert not complaint, complaint
