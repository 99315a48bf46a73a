# SPDX-License-Identifier: GPL-2.0-only
"""The classification of what a kernel has: known and right, unknown to the tables, or contradicting them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.contract.features import Probe, is_unknown_firmware
from helpers.contract.newer import LATEST_PSCI, Classified, Measured, classify
from helpers.contract.registers import MAINLINE, RFC_V3, VENDOR_HYP, VENDOR_HYP_2, Register
from helpers.smccc import U64
from helpers.uapi.kvm import fw_feat_bmap_reg, fw_reg
from helpers.uapi.notation import RegisterId

TABLES = {register.name: register for register in MAINLINE.registers}
BMAP_4 = Register("BMAP_4", fw_feat_bmap_reg(4), (), 0)


def classified(name: str, reset: int, accepted: int, *, resets: int = 3) -> Classified:
    """A register that gives the same answers in every VM."""
    return classify(TABLES[name], Measured((reset,) * resets, (accepted,) * 6), known=True)


def broken(result: Classified) -> list[str]:
    return sorted({each.clause for each in result.contradictions})


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_known_and_right(name: str) -> None:
    table = TABLES[name]
    assert classified(name, table.reset, table.mask) == Classified(table, ())


def test_a_bit_in_the_reset_value_that_is_accepted_is_new() -> None:
    result = classified(VENDOR_HYP, 0x7, 0x7)
    assert (result.register.unknown, result.register.reset, result.register.mask) == (0x4, 0x7, 0x7)
    assert not result.contradictions and 0x4 in result.register.subsets() and len(result.register.subsets()) == 8


def test_a_bit_that_the_reset_value_lacks_is_beyond_the_limit() -> None:
    result = classified(VENDOR_HYP, 0x3, 0x7)
    assert result.register == TABLES[VENDOR_HYP] and broken(result) == ["LIMIT-2"]


def test_a_bit_in_the_reset_value_that_is_refused_contradicts() -> None:
    result = classified(VENDOR_HYP, 0x7, 0x3)
    assert result.register == TABLES[VENDOR_HYP] and broken(result) == ["DEFAULT-1"]


@pytest.mark.parametrize(("reset", "accepted", "clause"), [(0x1, 0x1, "LIMIT-1"), (0x1, 0x3, "DEFAULT-1")])
def test_a_missing_bit_and_a_changed_reset_value_contradict(reset: int, accepted: int, clause: str) -> None:
    result = classified(VENDOR_HYP, reset, accepted)
    assert result.register == TABLES[VENDOR_HYP] and clause in broken(result)


def test_where_the_reset_value_is_less_an_accepted_bit_is_new() -> None:
    result = classified(VENDOR_HYP_2, 0, 0x7)
    assert (result.register.unknown, result.register.reset) == (0x4, 0) and not result.contradictions


def test_a_bit_that_is_not_always_accepted_contradicts() -> None:
    for name in (VENDOR_HYP, VENDOR_HYP_2):
        table = TABLES[name]
        ways = (table.mask | 4, table.mask, table.mask | 4)
        result = classify(table, Measured((table.reset,) * 3, ways), known=True)
        assert result.register == table and broken(result) == ["LIMIT-2"]


def test_bits_that_exclude_each_other_contradict() -> None:
    table = TABLES[VENDOR_HYP_2]
    result = classify(table, Measured((0, 0), (0xF, 0xF), together=False), known=True)
    assert result.register == table and broken(result) == ["LIMIT-1"]


def test_a_register_that_refuses_nothing_has_no_limit() -> None:
    assert classified(VENDOR_HYP_2, 0, U64).register == TABLES[VENDOR_HYP_2]
    assert broken(classified(VENDOR_HYP_2, 0, U64)) == ["LIMIT-2"]
    assert broken(classify(BMAP_4, Measured((0, 0), (U64, U64)), known=False)) == ["LIMIT-2"]


@pytest.mark.parametrize("reset", [0, 0x1, 0x3])
def test_an_unknown_register(reset: int) -> None:
    result = classify(BMAP_4, Measured((reset, reset), (0x3, 0x3)), known=False)
    assert (result.register.unknown, result.register.reset) == (0x3, reset) and not result.contradictions


def test_an_unknown_register_with_another_reset_value_in_each_vm() -> None:
    assert broken(classify(BMAP_4, Measured((0, 1), (0x3, 0x3)), known=False)) == ["DEFAULT-1"]
    assert broken(classify(BMAP_4, Measured((0, None), (0x3, 0x3)), known=False)) == ["DEFAULT-1"]


def test_many_bits_have_a_sample_of_subsets() -> None:
    register = replace(TABLES[VENDOR_HYP_2], unknown=(1 << 40) - 4)
    subsets = register.subsets()
    assert {0, 1, 2, register.mask, register.unknown, 3, 1 << 39} <= set(subsets) and len(subsets) <= 12
    assert all(not value & ~register.mask for value in subsets)


@pytest.mark.parametrize(("bits", "beyond"), [(0x0, 63), (1 << 63, 62), ((1 << 63) - 1, 63), (U64 & ~1, 0)])
def test_the_highest_unsupported_bit(bits: int, beyond: int) -> None:
    assert replace(BMAP_4, unknown=bits).beyond == 1 << beyond


PROBE = Probe(MAINLINE, MAINLINE.registers, (), (0, 0), True, True, True, True, "7.4")


def names(probe: Probe) -> list[str]:
    return [service.name for service in probe.unknown]


def test_the_unknown_services_of_a_kernel() -> None:
    assert names(PROBE) == []
    newer = replace(TABLES[VENDOR_HYP], unknown=0x4, reset=0x7)
    present = tuple(newer if r.name == VENDOR_HYP else r for r in MAINLINE.registers)
    assert names(replace(PROBE, present=present)) == ["VENDOR_HYP:2"]
    assert replace(PROBE, present=present).registers == present
    assert names(replace(PROBE, present=(*present, replace(BMAP_4, unknown=1)))) == ["VENDOR_HYP:2", "BMAP_4:0"]
    assert names(replace(PROBE, present=(*MAINLINE.registers, BMAP_4))) == ["BMAP_4"]
    assert names(replace(PROBE, psci=LATEST_PSCI + 1, smccc=0x10006)) == ["PSCI:1.4", "SMCCC:1.6"]
    assert names(replace(PROBE, firmware=(RegisterId("FW_REG_4", fw_reg(4)),))) == ["FW_REG_4"]
    texts = [service.text for service in replace(PROBE, present=present, psci=0x10004).unknown]
    assert texts == ["VENDOR_HYP bit 2", "PSCI 1.4"]


def test_a_kernel_without_a_register_must_have_it_unless_it_is_optional() -> None:
    probe = replace(PROBE, present=(BMAP_4,))
    assert [r.name for r in probe.registers] == ["STD", "STD_HYP", "VENDOR_HYP", "BMAP_4"]
    assert probe.unknown_registers == (BMAP_4,)


def test_unknown_firmware_registers() -> None:
    assert [is_unknown_firmware(MAINLINE, fw_reg(i)) for i in (0, 3, 4)] == [False, False, True]
    assert not is_unknown_firmware(MAINLINE, fw_feat_bmap_reg(9)) and not is_unknown_firmware(RFC_V3, fw_reg(9))
