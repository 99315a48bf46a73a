# SPDX-License-Identifier: GPL-2.0-only
"""The expected errors, values and descriptions of migrations, and the pairs of kernels."""

from __future__ import annotations

import errno
from dataclasses import replace
from itertools import pairwise

import pytest

from helpers.contract import migration
from helpers.contract.check import Comparison
from helpers.contract.features import Probe
from helpers.contract.registers import MAINLINE, NONE, RFC_V3, STD_HYP, VENDOR_HYP, VENDOR_HYP_2, Dialect
from helpers.identity import BootVariant, MigrationId, SubjectId, pairs
from helpers.results.records import SubjectInfo
from helpers.results.verdict import description
from suites.migration.state import compare_restored


def _probe(dialect: Dialect, *, without: str = "") -> Probe:
    present = tuple(r for r in dialect.registers if r.name != without)
    fields = dict.fromkeys(Probe.__dataclass_fields__)
    return replace(Probe(**fields), dialect=dialect, present=present)  # type: ignore[arg-type]


FOUR, THREE, RFC, OLD = _probe(MAINLINE), _probe(MAINLINE, without=VENDOR_HYP_2), _probe(RFC_V3), _probe(NONE)
IDS = {r.name: r.id for r in MAINLINE.registers}


def test_levels_are_accepted_values() -> None:
    for level in migration.SAVED_STATES:
        values = migration.values_at(level, FOUR.registers)
        assert all(values[r.name] in r.subsets() for r in FOUR.registers)
    mixed = list(migration.values_at("mixed", FOUR.registers).values())
    assert all(a != b for a, b in pairwise(mixed))


@pytest.mark.parametrize(
    ("destination", "name", "value", "expected"),
    [
        (FOUR, VENDOR_HYP_2, 3, 0),
        (FOUR, VENDOR_HYP, 4, errno.EINVAL),
        (THREE, VENDOR_HYP_2, 0, errno.ENOENT),
        (OLD, STD_HYP, 1, errno.ENOENT),
    ],
)
def test_error(destination: Probe, name: str, value: int, expected: int) -> None:
    assert migration.error_of(destination, [r.id for r in destination.registers], IDS[name], value) == expected


def test_an_id_that_means_something_else_is_left_open() -> None:
    workaround_3 = RFC_V3.registers[0].id
    assert migration.error_of(FOUR, [workaround_3], workaround_3, 1) is None
    assert migration.error_of(FOUR, [], workaround_3, 1) == errno.ENOENT


def test_what_is_refused_is_not_held() -> None:
    after = migration.held_after(THREE, {IDS[STD_HYP]: 0, IDS[VENDOR_HYP]: 4, IDS[VENDOR_HYP_2]: 3})
    assert after == {"STD": 1, "STD_HYP": 0, "VENDOR_HYP": 3}


def test_services_are_named() -> None:
    vendor = next(r for r in MAINLINE.registers if r.name == VENDOR_HYP)
    assert migration.visible_services(vendor, 0x8000000000000003) == (
        "VENDOR_HYP.FUNC_FEAT",
        "VENDOR_HYP.PTP",
        "VENDOR_HYP bit 63",
    )
    full = migration.values_at("full", FOUR.registers)
    assert migration.lost(FOUR, THREE, full) == ("VENDOR_HYP_2.DISCOVER_IMPL_VER", "VENDOR_HYP_2.DISCOVER_IMPL_CPUS")
    assert migration.lost(THREE, FOUR, migration.values_at("full", THREE.registers)) == ()


def test_changed_names_the_gate() -> None:
    same = {f.name: (0, 0, 0, 0) for f in migration.GUEST_VIEW}
    assert migration.changed(same, same) == ()
    assert migration.changed(same, same | {"TRNG_VERSION": (1, 0, 0, 0)}) == ("STD.TRNG_V1_0",)


def test_the_clauses_are_about_firmware_registers() -> None:
    ccsidr, tcr2, first, psci = 0x6020000000110001, 0x603000000013C103, IDS[STD_HYP], 0x6030000000140000
    assert [migration.is_firmware_register(i) for i in (ccsidr, tcr2, first, psci)] == [False, False, True, True]
    errors = [{ccsidr: errno.EINVAL, first: errno.EBUSY, tcr2: 0}, {ccsidr: errno.EINVAL, tcr2: errno.ENOENT}]
    refused = migration.refused_others(errors)
    assert refused == ((ccsidr, errno.EINVAL), (tcr2, errno.ENOENT))
    text = "CCSIDR_EL1[1] (0x6020000000110001): EINVAL, TCR2_EL1 (0x603000000013c103): ENOENT"
    assert migration.show_refused(refused) == text


NO_EFFECTS = migration.MigrationEffects((), (), (), (), (True, True), ())


def test_changed_names_a_call_that_nothing_gates() -> None:
    same = {f.name: (0, 0, 0, 0) for f in migration.WHOLE_VIEW}
    assert migration.changed(same, same | {"ARCH_FEATURES.WORKAROUND_1": (1, 0, 0, 0)}) == (
        "ARCH_FEATURES.WORKAROUND_1",
    )


def test_effects_as_text() -> None:
    assert str(NO_EFFECTS) == "restores every firmware register; the guest sees the same"
    text = str(
        replace(
            NO_EFFECTS,
            refused=(("PSCI_VERSION", 0x10003, errno.EINVAL),),
            changed=("STD.TRNG_V1_0",),
            changed_by_smc=("STD.TRNG_V1_0",),
            lost=("VENDOR_HYP.PTP",),
        )
    )
    assert text == (
        "refuses PSCI_VERSION = 0x10003: EINVAL; the guest sees another answer of STD.TRNG_V1_0; lacks VENDOR_HYP.PTP"
    )
    pair = MigrationId(SubjectId("a"), SubjectId("b"))
    assert text in description(SubjectInfo(pair, environment={"migration": text}))


def test_other_registers_are_named_by_errno() -> None:
    others = (("TCR2_EL1", errno.ENOENT), ("MIDR_EL1", errno.EINVAL), ("PIR_EL1", errno.ENOENT))
    text = str(replace(NO_EFFECTS, others=others))
    assert "; refuses 3 other registers: TCR2_EL1, PIR_EL1 (ENOENT), MIDR_EL1 (EINVAL); the guest" in text
    caches = tuple((f"CCSIDR_EL1[{n}]", errno.ENOENT) for n in (0, 3, 4, 5))
    assert "refuses 4 other registers: CCSIDR_EL1[0], CCSIDR_EL1[3..5] (ENOENT)" in str(
        replace(NO_EFFECTS, others=caches)
    )
    counters = tuple((f"PMEVCNTR{n}_EL0", errno.ENOENT) for n in (0, 1, 2, 4, 5))
    assert "PMEVCNTR0..2_EL0, PMEVCNTR4_EL0, PMEVCNTR5_EL0 (ENOENT)" in str(replace(NO_EFFECTS, others=counters))
    assert "refuses 1 other register: TCR2_EL1 (ENOENT); " in str(replace(NO_EFFECTS, others=others[:1]))


@pytest.mark.parametrize(
    ("smc", "changed_by_smc", "expected"),
    [
        ((False, False), (), "the guest sees the same"),
        ((True, True), ("STD.TRNG_V1_0",), "the same through HVC; through SMC another answer of STD.TRNG_V1_0"),
        ((True, False), (), "the same through HVC; only the source serves SMC calls"),
        ((False, True), (), "the same through HVC; only the destination serves SMC calls"),
    ],
)
def test_smc_is_seen(smc: tuple[bool, bool], changed_by_smc: tuple[str, ...], expected: str) -> None:
    assert str(replace(NO_EFFECTS, smc=smc, changed_by_smc=changed_by_smc)).endswith(expected)


def test_pairs() -> None:
    a, b, planted = SubjectId("a"), SubjectId("b"), SubjectId("debian:stable", fault="lock-missing")
    assert pairs([a, b]) == ((a, a), (b, a), (a, b), (b, b))
    assert pairs([a, planted]) == ((a, a), (planted, planted))


def test_pairs_of_boot_variants() -> None:
    vhe, nvhe = (SubjectId("a", variant=BootVariant(mode, "max", "quiet")) for mode in ("vhe", "nvhe"))
    assert pairs([vhe, nvhe]) == ((vhe, vhe), (nvhe, vhe), (vhe, nvhe), (nvhe, nvhe))
    planted = SubjectId("a", fault="lock-missing", variant=vhe.variant)
    assert pairs([vhe, planted]) == ((vhe, vhe), (planted, planted))


def test_a_register_that_the_source_does_not_list_was_not_restored() -> None:
    comparison, register = Comparison(), FOUR.registers[0]
    compare_restored(comparison, "restoring it", 0, {register.id: 0}, register)
    comparison.done()
    compare_restored(comparison, "restoring it", 0, {}, register)
    with pytest.raises(AssertionError, match="does not list it"):
        comparison.done()
