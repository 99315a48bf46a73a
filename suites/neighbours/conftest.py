# SPDX-License-Identifier: GPL-2.0-only
"""The workaround registers that a dialect has."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from helpers.contract.neighbours import WORKAROUND_REGISTERS, Workaround
from helpers.contract.registers import Register


@pytest.fixture(params=WORKAROUND_REGISTERS, ids=lambda w: w.register.name)
def workaround(request: pytest.FixtureRequest, contract: Probe, registers: tuple[Register, ...]) -> Workaround:
    """One of them; RFC v3 has a bitmap where mainline has WORKAROUND_3."""
    found: Workaround = request.param
    name = found.register.name
    if any(r.id == found.register.id for r in registers):
        pytest.skip(f"not applicable, because {name}'s place holds a bitmap register in {contract.dialect.name}")
    return found
