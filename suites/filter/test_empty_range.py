# SPDX-License-Identifier: GPL-2.0-only
"""A filter for no function, at base 0. Alone in its file and under its clause: helpers/contract/deviations.py."""

from __future__ import annotations

import pytest

from helpers.contract.check import EINVAL, Comparison
from helpers.uapi.kvm import KVM_SMCCC_FILTER_HANDLE
from suites.conftest import MakeVm


@pytest.mark.clause("FILTER-14")
def test_empty_range_at_base_0(filter_vm: MakeVm) -> None:
    """base + nr_functions - 1 wraps to 0xffffffff, where no other range ends that holds nothing."""
    comparison = Comparison()
    answer = filter_vm().try_set_filter(0, 0, KVM_SMCCC_FILTER_HANDLE)
    comparison.error("KVM_SET_DEVICE_ATTR of the filter {base = 0, nr_functions = 0}", EINVAL, answer)
    comparison.done()
