# SPDX-License-Identifier: GPL-2.0-only
"""A filter with base 0 and no function. Its clause has no other test: see helpers/contract/deviations.py."""

from __future__ import annotations

import pytest

from helpers.contract.check import EINVAL, Comparison
from helpers.uapi.kvm import KVM_SMCCC_FILTER_HANDLE
from suites.conftest import MakeVm


@pytest.mark.clause("FILTER-14")
def test_empty_range_at_base_0(filter_vm: MakeVm) -> None:
    """EINVAL, although base + nr_functions - 1 wraps to 0xffffffff. For any other base, it is below the base."""
    comparison = Comparison()
    answer = filter_vm().try_set_filter(0, 0, KVM_SMCCC_FILTER_HANDLE)
    comparison.error("KVM_SET_DEVICE_ATTR of the filter {base = 0, nr_functions = 0}", EINVAL, answer)
    comparison.done()
