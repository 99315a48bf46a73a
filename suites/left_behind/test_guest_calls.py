# SPDX-License-Identifier: GPL-2.0-only
"""What the calls of a guest leave behind: memory, fds and tasks."""

from __future__ import annotations

import pytest

from helpers.contract.check import Comparison
from suites.left_behind.calling import CallingVm, guest_requests
from suites.left_behind.growth import Meter

pytestmark = pytest.mark.long

_FEW_RUNS = 50


@pytest.mark.clause("LEFT-1", "LEFT-2")
def test_memory(calling: CallingVm, meter: Meter) -> None:
    """Neither memory nor fds nor tasks grow with the number of a guest's calls."""
    comparison = Comparison()
    meter.compare(comparison, f"{len(guest_requests())} guest calls", calling.make, calling.make_none, few=_FEW_RUNS)
    comparison.done()
