# SPDX-License-Identifier: GPL-2.0-only
"""The bitmaps that a register accepts."""

from __future__ import annotations

from helpers.contract.clauses.base import FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("LIMIT-1", "A bitmap register accepts every subset of its supported bits, and then reads as written.",
           f"{RFC}; {FW}; {SET}"),
    Clause("LIMIT-2", "A write of a bitmap with an unsupported bit is refused with EINVAL.",
           f"{FW}: return codes; {SET}"),
    Clause("LIMIT-3", "A refused write changes no bitmap register.", SET, Standing.OBSERVED),
    Clause("LIMIT-4", "A write to one bitmap register does not change the others.",
           f"{FW}: one register per call owner; {SET}"),
)  # fmt: skip
