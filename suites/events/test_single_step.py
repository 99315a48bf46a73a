# SPDX-License-Identifier: GPL-2.0-only
"""Calls of a guest that user space steps through (api.rst 4.87, KVM_GUESTDBG_SINGLESTEP)."""

from __future__ import annotations

import struct

import pytest

from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.functions import SMCCC_VERSION
from helpers.contract.registers import Register
from helpers.guest_layout import MEMORY_IPA, PV_TIME_IPA
from helpers.kvm_program import PC
from helpers.smccc import NOT_SUPPORTED, Conduit
from helpers.uapi import kvm as uapi
from helpers.uapi.notation import RegisterId
from suites.conftest import MakeVm
from suites.support.calls import CONDUITS, Form

_CODE_IPA = PV_TIME_IPA + 0x800
"""Memory that neither the mailbox nor a stolen-time area uses."""
_INSTRUCTIONS = {Conduit.HVC: 0xD4000002, Conduit.SMC: 0xD4000003}
_CALLS = 4
_X0 = RegisterId("x0", uapi.core_x(0))


@pytest.mark.clause("CALL-3", "EVENT-4")
@pytest.mark.parametrize("form", CONDUITS, ids=lambda form: form.name)
def test_steps(form: Form, registers: tuple[Register, ...], make_vm: MakeVm, contract: Probe) -> None:
    """Each step makes one call, which has its answer, and ends at the next instruction."""
    vm, comparison = make_vm(), Comparison()
    if not vm.check_extension(uapi.KVM_CAP_SET_GUEST_DEBUG):
        pytest.skip("not applicable, because KVM_CAP_SET_GUEST_DEBUG is 0")
    batch = vm.batch()
    code = struct.pack(f"<{_CALLS}I", *[_INSTRUCTIONS[form.conduit]] * _CALLS)
    batch.program.poke(vm.memory + (_CODE_IPA - MEMORY_IPA), code)
    steps = uapi.KVM_GUESTDBG_ENABLE | uapi.KVM_GUESTDBG_SINGLESTEP
    debug = batch.program.structure(uapi.pack("kvm_guest_debug", control=steps), "control {:#x}", steps)
    batch.call("KVM_SET_GUEST_DEBUG", vm.vcpu.fd, uapi.KVM_SET_GUEST_DEBUG, debug)
    batch.set(vm.vcpu, PC, _CODE_IPA)
    made = []
    for _ in range(_CALLS):
        batch.set(vm.vcpu, _X0, SMCCC_VERSION)
        made.append((batch.run_vcpu(vm.vcpu), batch.get(vm.vcpu, PC), batch.get(vm.vcpu, _X0)))
    batch.run()
    answer = contract.smccc if form.served(contract.smc) else NOT_SUPPORTED
    for number, (run, pc, x0) in enumerate(made, 1):
        what = f"step {number}, {form.name} SMCCC_VERSION"
        comparison.error(f"KVM_RUN of {what}", 0, run.errno)
        comparison.value(f"PC after {what}", _CODE_IPA + 4 * number, pc.value)
        comparison.value(f"x0 after {what}", answer, x0.value)
    comparison.done()
