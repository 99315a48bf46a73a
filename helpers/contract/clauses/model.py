# SPDX-License-Identifier: GPL-2.0-only
"""All clauses together: any calls in any order."""

from __future__ import annotations

from helpers.contract.clauses.base import SET, Clause, Standing

CLAUSES = (
    Clause("MODEL-1", "Every call gives the answer that the contract's state machine defines, whatever the order of the"
           " calls and on whichever VMs and vCPUs they are made.",
           f"helpers/contract/model, from the sources of the other clauses; {SET}", Standing.OBSERVED),
)  # fmt: skip
