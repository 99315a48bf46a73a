# SPDX-License-Identifier: GPL-2.0-only
"""What a fresh VM holds, and whose it is."""

from __future__ import annotations

from helpers.contract.clauses.base import FW, RFC, Clause

CLAUSES = (
    Clause("DEFAULT-1", "By default a register holds the upper limit of what KVM supports"
           " (VENDOR_HYP_2: no bit).", f"{RFC}; {FW}"),
    Clause("DEFAULT-2", "The registers of one VM are not those of another.", f"{FW}: one value per VM"),
    Clause("DEFAULT-3", "Every vCPU of a VM shows the same registers.", f"{FW}: VM-wide",),
)  # fmt: skip
