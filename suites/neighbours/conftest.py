# SPDX-License-Identifier: GPL-2.0-only
"""The workaround registers that a dialect has."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from helpers.contract.neighbours import WORKAROUND_REGISTERS, Workaround
from helpers.contract.registers import Register


@pytest.fixture(params=WORKAROUND_REGISTERS, ids=lambda w: w.register.name)
def workaround(request: pytest.FixtureRequest, contract: Probe, registers: tuple[Register, ...]) -> Workaround:
    """A workaround register. With RFC v3, mainline's WORKAROUND_3 has the id of a bitmap register."""
    found: Workaround = request.param
    name = found.register.name
    if any(r.id == found.register.id for r in registers):
        pytest.skip(f"not applicable, because {name} has the id of a bitmap register in {contract.dialect.name}")
    return found
