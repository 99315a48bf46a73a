# SPDX-License-Identifier: GPL-2.0-only
"""The names of the registers that a migration transfers."""

from __future__ import annotations

import pytest

from helpers.uapi.system_registers import identifies_processor, sys_reg_id, vcpu_register_name


@pytest.mark.parametrize(
    ("register_id", "name"),
    [
        (0x603000000013C103, "TCR2_EL1"),
        (0x603000000013C512, "PIRE0_EL1"),
        (0x603000000013C513, "PIR_EL1"),
        (0x603000000013C000, "MIDR_EL1"),
        (0x603000000013DF19, "CNTV_CTL_EL0"),
        (0x603000000013DF1A, "CNTVCT_EL0"),
        (0x603000000013DF02, "CNTV_CVAL_EL0"),
        (sys_reg_id(2, 0, 0, 15, 7), "DBGWCR15_EL1"),
        (sys_reg_id(3, 3, 14, 11, 6), "PMEVCNTR30_EL0"),
        (sys_reg_id(3, 3, 14, 15, 7), "PMCCFILTR_EL0"),
        (sys_reg_id(3, 0, 15, 7, 7), "S3_0_C15_C7_7"),
        (sys_reg_id(3, 0, 0, 3, 3), "S3_0_C0_C3_3"),
        (0x6020000000110002, "CCSIDR_EL1[2]"),
        (0x6030000000140000, "0x6030000000140000"),
        (0x6080000000150018, "0x6080000000150018"),
    ],
)
def test_name(register_id: int, name: str) -> None:
    assert vcpu_register_name(register_id) == name


def test_identification_registers() -> None:
    ids = [sys_reg_id(3, 0, 0, 0, 0), sys_reg_id(3, 0, 0, 7, 3), sys_reg_id(3, 1, 0, 0, 1), sys_reg_id(3, 3, 0, 0, 1)]
    assert all(map(identifies_processor, [*ids, 0x6020000000110002]))
    others = [sys_reg_id(3, 0, 1, 0, 0), sys_reg_id(3, 2, 0, 0, 0), sys_reg_id(2, 0, 0, 2, 0), 0x6030000000140000]
    assert not any(map(identifies_processor, others))
