# SPDX-License-Identifier: GPL-2.0-only
"""A subject's facts travel from a worker to the log as user properties."""

from __future__ import annotations

import pytest

from helpers.identity import SubjectId
from helpers.recording.phases import facts_as_properties, subject_info
from helpers.results.records import FirmwareInfo, RegisterInfo, ServiceInfo, SubjectInfo

INFO = SubjectInfo(
    SubjectId("debian:stable"),
    "mainline",
    {"kernel": "Linux 6.12"},
    registers=(RegisterInfo("STD", 1, ((0, "TRNG"),), None, 1),),
    services=(ServiceInfo("TRNG_VERSION", "STD", "TRNG", "0x10000", ((0, "NOT_SUPPORTED"),), "\ud800"),),
    firmware=(FirmwareInfo("PSCI_VERSION", 2, 0x10001, (2,)),),
    other_registers={"MIDR_EL1": (1 << 64) - 1, "TCR_EL1": None},
)


def _report(properties: list[tuple[str, object]]) -> pytest.TestReport:
    return pytest.TestReport("suites/a.py::t", ("a", 1, "t"), {}, "passed", None, "setup", user_properties=properties)


def test_the_facts_arrive() -> None:
    properties = list(facts_as_properties(INFO))
    assert subject_info(_report(properties)) == INFO
    assert isinstance(dict(properties)["other_registers"], str), "xdist sends a long value as one text"


def test_without_facts() -> None:
    assert subject_info(_report([("clauses", ["LOCK-1"])])) is None
