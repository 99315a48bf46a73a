# SPDX-License-Identifier: GPL-2.0-only
"""The forms in which a guest makes a call, and the contents of the registers that the call does not read."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.smccc import Conduit

GARBAGE = (0x1111_1111_DEAD_0001, 0x2222_2222_DEAD_0002, 0x3333_3333_DEAD_0003, 0x4444_4444_DEAD_0004,
           0x5555_5555_DEAD_0005, 0x6666_6666_DEAD_0006, 0x7777_7777_DEAD_0007)  # fmt: skip
"""Values for the argument registers that a call does not read, to detect result registers that are left unchanged."""


@dataclass(frozen=True)
class Form:
    """The instruction of a call, and the upper half of x0."""

    name: str
    conduit: Conduit
    upper: int = 0

    def served(self, smc: bool) -> bool:
        """Whether KVM serves it as an SMCCC call. ``smc``: whether KVM serves SMC. HVC's immediate is ignored."""
        return not self.conduit.name.startswith("SMC_") and (smc or self.conduit is not Conduit.SMC)


HVC, SMC = Form("HVC", Conduit.HVC), Form("SMC", Conduit.SMC)
CONDUITS = (HVC, SMC)
INSTRUCTIONS = (Conduit.HVC, Conduit.SMC, Conduit.HVC_1, Conduit.HVC_FFFF, Conduit.SMC_1, Conduit.SMC_FFFF,
                Conduit.SMC_100)  # fmt: skip
"""A sample, for tests that do not need every immediate."""
