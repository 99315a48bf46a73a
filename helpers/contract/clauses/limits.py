# SPDX-License-Identifier: GPL-2.0-only
"""The bitmaps that a register accepts."""

from __future__ import annotations

from helpers.contract.clauses.base import FW, RFC, SET, Clause, Standing

CLAUSES = (
    Clause("LIMIT-1", "KVM_SET_ONE_REG accepts every subset of a bitmap register's supported bits, and KVM_GET_ONE_REG"
           " then returns it.", f"{RFC}; {FW}; {SET}"),
    Clause("LIMIT-2", "KVM_SET_ONE_REG of a bitmap with an unsupported bit fails with EINVAL.",
           f"{FW}: return codes; {SET}"),
    Clause("LIMIT-3", "A KVM_SET_ONE_REG that fails changes no bitmap register.", SET, Standing.OBSERVED),
    Clause("LIMIT-4", "KVM_SET_ONE_REG of one bitmap register does not change the others.",
           f"{FW}: one register per call owner; {SET}"),
)  # fmt: skip
