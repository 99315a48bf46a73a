# SPDX-License-Identifier: GPL-2.0-only
"""The registers as discovery measured them, compared with the tables (helpers/contract/newer.py)."""

from __future__ import annotations

import pytest

from helpers.contract.features import Probe
from helpers.contract.registers import Register

CLAUSES = [
    pytest.param("DEFAULT-1", marks=pytest.mark.clause("DEFAULT-1")),
    pytest.param("LIMIT-1", marks=pytest.mark.clause("LIMIT-1")),
    pytest.param("LIMIT-2", marks=pytest.mark.clause("LIMIT-2")),
]


@pytest.mark.parametrize("clause", CLAUSES)
def test_agrees_with_the_tables(clause: str, registers: tuple[Register, ...], contract: Probe) -> None:
    """A reset value or an accepted bit that the tables lack is new, or it contradicts them."""
    texts = [each.text for each in contract.contradictions if each.clause == clause]
    assert not texts, "\n".join(texts)
