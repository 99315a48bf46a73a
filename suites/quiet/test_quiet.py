# SPDX-License-Identifier: GPL-2.0-only
"""A VM's life with refused calls, looked at closely. The same look is taken after every test of the suite."""

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
        pytest.skip(f"not applicable, because neither can be read here: {'; '.join(unseen)}")
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
