# SPDX-License-Identifier: GPL-2.0-only
"""What a clause is, and the sources that several chapters name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    """Whether the documents say it, or only the code that user space relies on."""

    DOCUMENTED = "documented"
    OBSERVED = "observed ABI"


@dataclass(frozen=True)
class Clause:
    """One sentence of the contract."""

    id: str
    text: str
    source: str
    standing: Standing = Standing.DOCUMENTED


FW = "Documentation/virt/kvm/arm/fw-pseudo-registers.rst"
API = "Documentation/virt/kvm/api.rst"
RFC = "RFC v3 03/11, api.rst 7.30"
SET = "hypercalls.c:kvm_arm_set_fw_reg_bmap"
CALL = "hypercalls.c:kvm_smccc_call_handler"
