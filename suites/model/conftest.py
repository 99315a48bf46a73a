# SPDX-License-Identifier: GPL-2.0-only
"""The model's input from the kernel, which other chapters test."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from helpers.contract.model.machine import Host
from helpers.contract.neighbours import PSCI_VERSION, WORKAROUND_REGISTERS
from helpers.contract.registers import Register
from helpers.kvm import Kvm


@pytest.fixture
def host(kvm: Kvm, contract: Probe, registers: tuple[Register, ...]) -> Host:
    """The kernel's part in the model's answers."""
    bitmaps = {register.id for register in registers}
    others = [w.register for w in WORKAROUND_REGISTERS if w.register.id not in bitmaps]
    with kvm.create_vm() as vm:
        version = vm.vcpu.get_reg(PSCI_VERSION)
        levels = [(register.name, vm.vcpu.try_get_reg(register)[0]) for register in others]
    return Host(
        contract.dialect, registers, version, tuple((name, value) for name, value in levels if value is not None),
        contract.arch_counter, contract.pv_time, contract.smc, contract.smccc_filter,
        contract.smccc, contract.new_functions,
    )  # fmt: skip
