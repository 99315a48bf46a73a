# SPDX-License-Identifier: GPL-2.0-only
"""Which bitmaps a register accepts."""

from __future__ import annotations

from helpers.contract.clauses.base import FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("LIMIT-1", "Every subset of the supported bits is accepted and reads back as written.", f"{RFC}; {FW}"),
    Clause("LIMIT-2", "A bitmap with an unsupported bit is refused with EINVAL.", f"{FW}: return codes"),
    Clause("LIMIT-3", "A refused write changes nothing.", SET, Standing.OBSERVED),
    Clause("LIMIT-4", "A write to one register leaves the others alone.", f"{FW}: one register per call owner"),
)  # fmt: skip
