# SPDX-License-Identifier: GPL-2.0-only
"""What a set of hosts has in common, from logs of kernels like Linux 5.10, 6.1, 6.12 and 7.2."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.command.main import main
from helpers.errors import UsageError
from helpers.formats.fleet import fleet_json, fleet_text
from helpers.identity import LOCAL, MigrationId, SubjectId
from helpers.results.columns import columns
from helpers.results.fleet import CANNOT_TELL, IMPOSSIBLE, POSSIBLE, Action, Fleet, FleetPair, PairKind, fleet_of
from helpers.results.records import SMC_NOT_SERVED, FirmwareInfo, Log, RegisterInfo, ServiceInfo, SubjectInfo
from tests.support import PASSED
from tests.support.reports import OLD_LOGS, log_of, result, write_log

CLOSED = "NOT_SUPPORTED"
STD = RegisterInfo("STD", 0x6030000000160000, ((0, "TRNG_V1_0"),), 1, 1)
STD_HYP = RegisterInfo("STD_HYP", 0x6030000000160001, ((0, "PV_TIME"),), 1, 1)
VENDOR = RegisterInfo("VENDOR_HYP", 0x6030000000160002, ((0, "FUNC_FEAT"), (1, "PTP")), 3, 3)
VENDOR_2 = RegisterInfo("VENDOR_HYP_2", 0x6030000000160003, ((0, "DISCOVER_IMPL_VER"),), 0, 3)
PSCI = FirmwareInfo("PSCI_VERSION", 0x6030000000140000, 0x10001, (2, 0x10000, 0x10001))
NEW_PSCI = replace(PSCI, default=0x10003, accepted=(2, 0x10000, 0x10001, 0x10002, 0x10003))
WORKAROUND = FirmwareInfo("WORKAROUND_1", 0x6030000000140001, 1, (0, 1))


def service(name: str, register: str, *answers: str) -> ServiceInfo:
    """A function by HVC and by SMC; the last bitmap is the default."""
    given = answers[-1], tuple(enumerate(answers)) if register else ()
    return ServiceInfo(name, register, "B" if register else "", *given, *given)


SERVICES = (
    service("TRNG_VERSION", "STD", CLOSED, "0x10000, 0, 0, 0"),
    service("ARCH_FEATURES.PV_TIME_FEATURES", "STD_HYP", CLOSED, "0, 0, 0, 0"),
    service("KVM_FEATURES", "VENDOR_HYP", CLOSED, "0x1, 0, 0, 0", CLOSED, "0x3, 0, 0, 0"),
    service("PSCI_VERSION", "", "0x10001, 0, 0, 0"),
)
ONLY_HVC = tuple(replace(each, smc_default=SMC_NOT_SERVED, smc_answers=()) for each in SERVICES)
# Before the registers, only the query of stolen time is answered.
BEFORE = tuple(
    ServiceInfo(each.function, "", "", each.default if each.function.startswith("ARCH") else CLOSED, (), SMC_NOT_SERVED)
    for each in SERVICES[:3]
)
OTHERS = {"MIDR_EL1": 0x411FD070, "TCR_EL1": None}
V5_10 = SubjectInfo(
    SubjectId("5.10"), "none", firmware=(WORKAROUND, replace(PSCI, default=0x10000, accepted=(2, 0x10000)))
)
V5_10 = replace(V5_10, services=BEFORE, other_registers=OTHERS)
V6_12 = SubjectInfo(SubjectId("6.12"), "mainline", {"kernel": "Linux 6.12"}, (), (STD, STD_HYP, VENDOR), SERVICES)
V6_12 = replace(V6_12, firmware=(PSCI, WORKAROUND), other_registers=OTHERS)
V6_1 = replace(V6_12, subject=SubjectId("6.1"), services=ONLY_HVC)
V7_2 = replace(V6_12, subject=SubjectId("7.2"), registers=(STD, STD_HYP, VENDOR, VENDOR_2))
V7_2 = replace(V7_2, firmware=(NEW_PSCI, WORKAROUND))


def log(*infos: SubjectInfo) -> Log:
    subjects = tuple(info.subject for info in infos)
    return log_of(*(result(PASSED, "t", each) for each in subjects), subjects=subjects, infos=infos)


def fleet(*infos: SubjectInfo) -> Fleet:
    return fleet_of([(f"{place}.jsonl", column) for place, info in enumerate(infos) for column in columns([log(info)])])


def pair(of: Fleet, source: str, destination: str) -> FleetPair:
    return next(each for each in of.pairs if (each.source, each.destination) == (source, destination))


def test_equal_hosts_keep_their_defaults() -> None:
    same = fleet(V6_12, replace(V6_12, subject=SubjectId("b")))
    assert same.status == POSSIBLE and {each.kind for each in same.pairs} == {PairKind.POSSIBLE}
    values = {each.register: (each.action, each.value) for each in same.settings}
    assert values == {
        "PSCI_VERSION": (Action.SET, 0x10001),
        "WORKAROUND_1": (Action.KEEP, None),
        "STD": (Action.SET, 1),
        "STD_HYP": (Action.SET, 1),
        "VENDOR_HYP": (Action.SET, 3),
    }
    assert not any(each.lost for each in same.settings) and fleet_text(same).count("no setting is needed") == 2


def test_the_newest_common_psci_and_an_omitted_register() -> None:
    mixed = fleet(V6_12, V7_2)
    by_name = {each.register: each for each in mixed.settings}
    psci, second = by_name["PSCI_VERSION"], by_name["VENDOR_HYP_2"]
    assert (psci.value, psci.lost) == (0x10001, {"7.2": ("PSCI 1.3, which becomes 1.1",)})
    assert (second.action, second.value, second.lacking, second.lost) == (Action.OMIT, 0, ("6.12",), {})
    assert mixed.status == POSSIBLE
    text = fleet_text(mixed)
    assert "-cpu host,kvm-psci-version=1.1" in text and "<qemu:arg value='host,kvm-psci-version=1.1'/>" in text
    assert (
        "omits VENDOR_HYP_2 by itself if it is 0" in text and "libvirt 12.8.0 has no setting for PSCI_VERSION" in text
    )


def test_bitmaps_hold_what_all_support() -> None:
    smaller = replace(V6_12, subject=SubjectId("b"), registers=(STD, STD_HYP, replace(VENDOR, default=1, supported=1)))
    reduced = fleet(V6_12, smaller)
    vendor = next(each for each in reduced.settings if each.register == "VENDOR_HYP")
    assert (vendor.value, vendor.mask, vendor.lost) == (1, 1, {"6.12": ("VENDOR_HYP.PTP",)})
    assert "QEMU 11.1.3 has no setting for VENDOR_HYP = 0x1, which is not the default on 6.12." in fleet_text(reduced)


def test_a_kernel_without_the_registers() -> None:
    """STD_HYP keeps its bit: such a kernel answers the query of stolen time."""
    old = fleet(V5_10, V6_1)
    bitmaps = {each.register: each.value for each in old.settings if each.mask is not None}
    assert bitmaps == {"STD": 0, "STD_HYP": 1, "VENDOR_HYP": 0}
    assert all(each.action is Action.OMIT for each in old.settings if each.mask is not None)
    assert next(each for each in old.settings if each.register == "PSCI_VERSION").value == 0x10000
    assert old.status == POSSIBLE
    assert "QEMU 11.1.3 does not omit STD: migrations to 5.10 fail." in fleet_text(old)


def test_smc_is_seen() -> None:
    mixed = fleet(V6_1, V6_12)
    assert pair(mixed, "6.1", "6.12").seen == ("SMC calls: not served -> served",)
    assert mixed.status == IMPOSSIBLE and pair(mixed, "6.12", "6.1").kind is PairKind.SEEN


def test_answers_that_differ_with_equal_registers() -> None:
    services = (*SERVICES[:2], service("KVM_FEATURES", "VENDOR_HYP", CLOSED, CLOSED, CLOSED, CLOSED))
    mixed = fleet(V6_12, replace(V6_12, subject=SubjectId("b"), services=services))
    assert pair(mixed, "6.12", "b").seen == ("KVM_FEATURES: 0x3, 0, 0, 0 -> NOT_SUPPORTED",)


def test_refused_registers() -> None:
    better = replace(V6_12, subject=SubjectId("b"), firmware=(PSCI, replace(WORKAROUND, default=2, accepted=(0, 1, 2))))
    better = replace(better, other_registers={**OTHERS, "PIR_EL1": None, "TCR2_EL1": None})
    mixed = fleet(V6_12, better)
    assert pair(mixed, "b", "6.12").refused == (
        ("WORKAROUND_1 = 0x2", "EINVAL"),
        ("PIR_EL1", "ENOENT"),
        ("TCR2_EL1", "ENOENT"),
    )
    assert pair(mixed, "6.12", "b").kind is PairKind.POSSIBLE
    assert "    refused with ENOENT: PIR_EL1, TCR2_EL1\n" in fleet_text(mixed) and mixed.status == IMPOSSIBLE
    only_tolerated = fleet(V6_12, replace(better, firmware=V6_12.firmware))
    assert "QEMU 11.1.3 with -cpu host migrates b -> 6.12 without PIR_EL1, TCR2_EL1." in fleet_text(only_tolerated)


def test_no_common_psci_version() -> None:
    other = replace(V6_12, subject=SubjectId("b"), firmware=(replace(PSCI, default=0x20000, accepted=(0x20000,)),))
    mixed = fleet(V6_12, other)
    psci = next(each for each in mixed.settings if each.register == "PSCI_VERSION")
    assert (psci.action, psci.value, psci.accepted) == (Action.NONE, None, ())
    assert ("PSCI_VERSION = 0x10001", "EINVAL") in pair(mixed, "6.12", "b").refused
    assert "no common value" in fleet_text(mixed)


def test_another_processor_is_not_known() -> None:
    mixed = fleet(V6_12, replace(V6_12, subject=SubjectId("b"), other_registers={**OTHERS, "MIDR_EL1": 1}))
    assert pair(mixed, "b", "6.12").differing == ("MIDR_EL1",)
    assert "    unknown: whether 6.12 accepts the values of MIDR_EL1; test both kernels in one run\n" in fleet_text(
        mixed
    )
    assert mixed.status == CANNOT_TELL


MISSING = {
    "the bitmap registers": {"registers": ()},
    "the values that PSCI_VERSION accepts": {"firmware": ()},
    "the other registers": {"other_registers": {}},
    "the results of SMC calls": {"services": ()},
}


@pytest.mark.parametrize("fact", MISSING)
def test_what_a_log_does_not_have_is_never_possible(fact: str) -> None:
    less = replace(V6_12, subject=SubjectId("b"), **MISSING[fact])  # type: ignore[arg-type]
    mixed = fleet(V6_12, less)
    assert mixed.status == CANNOT_TELL and all(each.kind is PairKind.UNKNOWN for each in mixed.pairs)
    assert f"unknown: b: its log does not have {fact}" in fleet_text(mixed)


def test_hosts_of_one_label_are_named_after_their_logs() -> None:
    names = [host.name for host in fleet(replace(V6_12, subject=LOCAL), replace(V7_2, subject=LOCAL)).hosts]
    assert names == ["local (0.jsonl)", "local (1.jsonl)"]


def test_migrations_in_a_log_are_no_hosts() -> None:
    way = SubjectInfo(MigrationId(SubjectId("6.12"), SubjectId("7.2")))
    named = [("log", column) for column in columns([log(V6_12, V7_2, way)])]
    assert [host.name for host in fleet_of(named).hosts] == ["6.12", "7.2"]
    with pytest.raises(UsageError, match="at least two hosts, and the logs have 1"):
        fleet(V6_12)


def test_json_has_the_same_facts() -> None:
    mixed = fleet(V6_1, V7_2)
    data = json.loads(fleet_json(mixed))
    assert [each["name"] for each in data["hosts"]] == ["6.1", "7.2"]
    psci = data["registers"][0]
    assert (psci["register"], psci["action"], psci["value"], psci["accepted_mask"]) == (
        "PSCI_VERSION",
        "set",
        0x10001,
        None,
    )
    assert psci["lost"] == {"7.2": ["PSCI 1.3, which becomes 1.1"]}
    assert data["pairs"][0]["result"] == "seen" and data["pairs"][0]["seen"] == ["SMC calls: not served -> served"]
    assert data["qemu"]["settings"] == ["-cpu host,kvm-psci-version=1.1"]


def test_the_text_is_harmless() -> None:
    odd = replace(V7_2, subject=SubjectId("b\x1b[2J\nok"), registers=(replace(STD, name="x\x1b"),))
    assert all(line.isprintable() for line in fleet_text(fleet(V6_12, odd)).splitlines())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(write_log(tmp_path / name, log(info))) for name, info in (("a", V6_12), ("b", V7_2), ("c", V6_1))]
    assert main(["report", "fleet", *paths[:2], f"--json={tmp_path / 'json'}"]) == POSSIBLE
    shown = capsys.readouterr().out
    assert shown.endswith("2 migrations between 2 hosts: 2 possible\n")
    assert json.loads((tmp_path / "json").read_text())["pairs"][0]["result"] == "possible"
    assert main(["report", "fleet", *paths]) == IMPOSSIBLE
    assert main(["report", "fleet", paths[0]]) == 4
    assert main(["report", "fleet", paths[0], str(tmp_path / "none")]) == CANNOT_TELL
    assert "CANNOT TELL: The results log" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["report", "--help"], ["report", "fleet", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
        assert "report fleet " in capsys.readouterr().out


def test_json_on_standard_output_stands_alone(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    paths = [str(write_log(tmp_path / name, log(info))) for name, info in (("a", V6_12), ("b", V7_2))]
    assert main(["report", "fleet", *paths, "--json", "-"]) == POSSIBLE
    out, err = capfdbinary.readouterr()
    assert json.loads(out)["hosts"] and err.startswith(b"Hosts\n")


@pytest.mark.parametrize("version", [1, 2])
def test_old_logs_say_what_is_missing(version: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "fleet", str(OLD_LOGS / f"two-kernels-version-{version}.jsonl")]) == CANNOT_TELL
    assert "its log does not have the values that PSCI_VERSION accepts" in capsys.readouterr().out
