# SPDX-License-Identifier: GPL-2.0-only
"""The expected errors, values and descriptions of migrations, and the pairs of kernels."""

from __future__ import annotations

import errno
from dataclasses import replace
from itertools import pairwise

import pytest

from helpers.contract import migration
from helpers.contract.features import Probe
from helpers.contract.registers import MAINLINE, NONE, RFC_V3, STD_HYP, VENDOR_HYP, VENDOR_HYP_2, Dialect
from helpers.identity import MigrationId, SubjectId, pairs
from helpers.results.records import SubjectInfo
from helpers.results.verdict import description


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
    text = "CCSIDR 1 (0x6020000000110001): EINVAL, S3_0_C2_C0_3 (0x603000000013c103): ENOENT"
    assert migration.show_refused(refused) == text


def test_told() -> None:
    assert str(migration.Told((), (), ())) == "restores every firmware register; the guest sees the same"
    text = str(migration.Told((("PSCI_VERSION", 0x10003, errno.EINVAL),), ("STD.TRNG_V1_0",), ("VENDOR_HYP.PTP",)))
    for part in ("refuses PSCI_VERSION = 0x10003: EINVAL", "another answer of STD.TRNG_V1_0", "lacks VENDOR_HYP.PTP"):
        assert part in text
    pair = MigrationId(SubjectId("a"), SubjectId("b"))
    assert text in description(SubjectInfo(pair, environment={"migration": text}))


def test_pairs() -> None:
    a, b, planted = SubjectId("a"), SubjectId("b"), SubjectId("debian:stable", fault="lock-missing")
    assert pairs([a, b]) == ((a, a), (b, a), (a, b), (b, b))
    assert pairs([a, planted]) == ((a, a), (planted, planted))
