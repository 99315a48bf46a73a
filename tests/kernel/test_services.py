# SPDX-License-Identifier: GPL-2.0-only
"""What guests see of the services, for the reports: the classes of answers, and the answers of real kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from helpers import build, guests
from helpers.contract.features import Probe
from helpers.contract.functions import CLOSED, FUNCTIONS, Situation
from helpers.contract.registers import MAINLINE, NONE
from helpers.discovery.probe import probe
from helpers.discovery.services import VARYING, Service, answer_class, survey_services
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm
from helpers.progress import Progress
from helpers.subjects import choose
from helpers.subjects.base import Subject

KERNEL = "debian:stable"
NAMED = {function.name: function for function in FUNCTIONS}
PROBE = Probe(MAINLINE, MAINLINE.registers, (), (0, 0), True, True, True, True, "7.2")
NS, INVALID = (1 << 64) - 1, (1 << 64) - 2


@pytest.mark.parametrize(
    ("function", "x", "shown"),
    [
        ("TRNG_VERSION", CLOSED, "NOT_SUPPORTED"),
        ("TRNG_VERSION", (NS, 1, 2, 3), "NOT_SUPPORTED, 0x1, 0x2, 0x3"),
        ("TRNG_VERSION", (0xFFFFFFFF, 0, 0, 0), "0xffffffff, 0, 0, 0"),
        ("TRNG_VERSION", (0x10000, 0, 0, 0), "0x10000, 0, 0, 0"),
        ("TRNG_RND64.0xc1", (INVALID, 0, 0, 0), "-2, 0, 0, 0"),
        ("TRNG_RND64.0xc0", (0, 1 << 63, 2, 3), VARYING),
        ("TRNG_RND64.0xc0", (0, 0, 0, 0), "0, 0, 0, 0"),
        ("TRNG_RND32.0x60", (0, 1, 2, 3), VARYING),
        ("TRNG_RND32.0x60", (0, 1 << 32, 0, 0), "0, 0x100000000, 0, 0"),
        ("KVM_PTP.VIRTUAL", (1, 2, 3, 4), VARYING),
        ("KVM_PTP.VIRTUAL", CLOSED, "NOT_SUPPORTED"),
        ("KVM_PTP.VIRTUAL", (0, 0, 3, 4), "0, 0, 0x3, 0x4"),
        ("KVM_PTP.UNKNOWN_COUNTER", (1, 2, 3, 4), "0x1, 0x2, 0x3, 0x4"),
        ("PSCI_VERSION", (0x10001, 0, 0, 0), "0x10001, 0, 0, 0"),
    ],
)
def test_classes(function: str, x: tuple[int, int, int, int], shown: str) -> None:
    assert answer_class(NAMED[function], x, PROBE) == shown


def test_classes_where_there_are_no_registers() -> None:
    none = replace(PROBE, dialect=NONE, present=())
    assert answer_class(NAMED["KVM_FEATURES"], (3, 0, 0, 0), none) == "0x3, 0, 0, 0"
    assert answer_class(NAMED["KVM_PTP.VIRTUAL"], CLOSED, none) == "NOT_SUPPORTED"


@pytest.fixture(scope="module")
def warm() -> Iterator[dict[str, Subject]]:
    build.build_all()
    machines: dict[str, Subject] = {}
    yield machines
    for machine in machines.values():
        machine.close()


def seen(label: str, warm: dict[str, Subject]) -> tuple[dict[str, Service], Probe]:
    kvm = Kvm(choose.subject(label, choose.Means(None, Progress()), warm), guests.load_image(build.GUEST))
    asked = probe(kvm)
    return {service.function: service for service in survey_services(kvm, asked)}, asked


def test_a_real_kernel_shows_what_the_contract_says(warm: dict[str, Subject]) -> None:
    found, asked = seen(f"{KERNEL} with planted fault none", warm)
    ipa = PV_TIME_IPA if asked.pv_time else None
    fresh = {register.name: register.reset for register in asked.present}
    for service in found.values():
        function = NAMED[service.function]
        gate = function.gated(asked.dialect)
        assert service.gate == gate and bool(service.answers) is (gate is not None)
        shown = [(fresh, service.default)]
        shown += [(fresh | {gate[0]: value}, answer) for value, answer in service.answers if gate]
        for values, answer in shown:
            expected = function.expected(Situation(asked.dialect, values, asked.arch_counter, ipa))
            if isinstance(expected, tuple):
                assert answer == answer_class(function, expected, asked), service
            elif expected in ("psci-version", "constant"):
                assert answer, service
            else:
                assert answer == VARYING, service
    assert {value for value, _ in found["KVM_PTP.VIRTUAL"].answers} == {0, 1, 2, 3}


def test_the_rfc_dialect(warm: dict[str, Subject]) -> None:
    found, _ = seen(f"{KERNEL} speaking rfc-v3", warm)
    assert found["KVM_FEATURES"].gate is None and not found["KVM_FEATURES"].answers
    assert found["KVM_PTP.VIRTUAL"].answers == ((0, "NOT_SUPPORTED"), (1, VARYING))


def test_what_a_fault_changes_shows_and_nothing_else(warm: dict[str, Subject]) -> None:
    whole, _ = seen(f"{KERNEL} with planted fault none", warm)
    shut, _ = seen(f"{KERNEL} with planted fault gate-ptp-shut", warm)
    changed = {name for name in whole if whole[name] != shut[name]}
    assert changed == {"KVM_PTP.VIRTUAL", "KVM_PTP.PHYSICAL"}
    assert shut["KVM_PTP.VIRTUAL"] == replace(
        whole["KVM_PTP.VIRTUAL"],
        default="NOT_SUPPORTED",
        answers=tuple((value, "NOT_SUPPORTED") for value in range(4)),
    )


def test_a_bitmap_that_is_refused_is_told(warm: dict[str, Subject]) -> None:
    found, _ = seen(f"{KERNEL} with planted fault limit-refuses-ptp-alone", warm)
    assert found["KVM_FEATURES"].answers[2] == (2, "bitmap refused: EINVAL")
    assert found["KVM_FEATURES"].answers[3] == (3, "0x3, 0, 0, 0")
