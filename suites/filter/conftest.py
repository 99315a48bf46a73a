# SPDX-License-Identifier: GPL-2.0-only
"""VMs that accept an SMCCC filter."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from suites.conftest import MakeVm


@pytest.fixture
def filter_vm(make_vm: MakeVm, contract: Probe) -> MakeVm:
    """Makes VMs as make_vm. The test is not applicable if they accept no SMCCC filter."""
    if not contract.smccc_filter:
        pytest.skip("not applicable, because this kernel's VMs accept no SMCCC filter (KVM_HAS_DEVICE_ATTR on the VM)")
    return make_vm
