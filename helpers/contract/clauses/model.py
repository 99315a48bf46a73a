# SPDX-License-Identifier: GPL-2.0-only
"""That the sentences hold together: whatever was called before, in whatever order."""

from __future__ import annotations

from helpers.contract.clauses.base import SET, Clause, Standing

CLAUSES = (
    Clause("MODEL-1", "Each call answers as the contract's state machine says, in whatever order calls are made on"
           " whatever VMs and vCPUs.",
           f"helpers/contract/model, from the sources of the other clauses; {SET}", Standing.OBSERVED),
)  # fmt: skip
