# SPDX-License-Identifier: GPL-2.0-only
"""A VM that takes an SMCCC filter, or the reason why there is none."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from suites.conftest import MakeVm


@pytest.fixture
def filter_vm(make_vm: MakeVm, contract: Probe) -> MakeVm:
    """As make_vm, where the kernel has the filter."""
    if not contract.smccc_filter:
        pytest.skip("not applicable, because this kernel's VMs take no SMCCC filter (KVM_HAS_DEVICE_ATTR on the VM)")
    return make_vm
