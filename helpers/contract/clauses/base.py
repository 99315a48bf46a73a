# SPDX-License-Identifier: GPL-2.0-only
"""The sources that clauses of several chapters name."""

from __future__ import annotations

from helpers.results.records import Clause, Standing

__all__ = ["API", "CALL", "FW", "RFC", "SET", "Clause", "Standing"]

FW = "Documentation/virt/kvm/arm/fw-pseudo-registers.rst"
API = "Documentation/virt/kvm/api.rst"
RFC = "RFC v3 03/11, api.rst 7.30"
SET = "hypercalls.c:kvm_arm_set_fw_reg_bmap"
CALL = "hypercalls.c:kvm_smccc_call_handler"
