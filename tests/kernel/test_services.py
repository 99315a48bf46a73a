# SPDX-License-Identifier: GPL-2.0-only
"""What guests see of the services, for the reports: the classes of answers, and the answers of real kernels."""

from __future__ import annotations

from dataclasses import replace

from helpers import build, guests
from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS, Situation
from helpers.discovery.probe import probe
from helpers.discovery.services import VARYING, answer_class, survey_services
from helpers.guest_layout import PV_TIME_IPA
from helpers.identity import SubjectId
from helpers.kvm import Kvm
from helpers.progress import Progress
from helpers.results.records import ServiceInfo
from helpers.subjects import choose
from helpers.subjects.base import Subject

KERNEL = "debian:stable"
NAMED = {function.name: function for function in FUNCTIONS}


def seen(
    warm: dict[SubjectId, Subject], fault: str = "", dialect: str = "mainline"
) -> tuple[dict[str, ServiceInfo], Probe]:
    subject_id = SubjectId(KERNEL, dialect=dialect, fault=fault)
    kvm = Kvm(choose.make_subject(subject_id, choose.Means(None, Progress()), warm), guests.load_image(build.GUEST))
    asked = probe(kvm)
    return {service.function: service for service in survey_services(kvm, asked)}, asked


def test_a_real_kernel_shows_what_the_contract_says(warm: dict[SubjectId, Subject]) -> None:
    found, asked = seen(warm, "none")
    ipa = PV_TIME_IPA if asked.pv_time else None
    fresh = {register.name: register.reset for register in asked.present}
    for service in found.values():
        function = NAMED[service.function]
        gate = function.gated(asked.dialect)
        assert (service.register, service.bit) == (gate or ("", "")) and bool(service.answers) is (gate is not None)
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


def test_the_rfc_dialect(warm: dict[SubjectId, Subject]) -> None:
    found, _ = seen(warm, dialect="rfc-v3")
    assert found["KVM_FEATURES"].register == "" and not found["KVM_FEATURES"].answers
    assert found["KVM_PTP.VIRTUAL"].answers == ((0, "NOT_SUPPORTED"), (1, VARYING))


def test_what_a_fault_changes_shows_and_nothing_else(warm: dict[SubjectId, Subject]) -> None:
    whole, _ = seen(warm, "none")
    shut, _ = seen(warm, "gate-ptp-shut")
    changed = {name for name in whole if whole[name] != shut[name]}
    assert changed == {"KVM_PTP.VIRTUAL", "KVM_PTP.PHYSICAL"}
    assert shut["KVM_PTP.VIRTUAL"] == replace(
        whole["KVM_PTP.VIRTUAL"],
        default="NOT_SUPPORTED",
        answers=tuple((value, "NOT_SUPPORTED") for value in range(4)),
    )


def test_a_bitmap_that_is_refused_is_told(warm: dict[SubjectId, Subject]) -> None:
    found, _ = seen(warm, "limit-refuses-ptp-alone")
    assert found["KVM_FEATURES"].answers[2] == (2, "bitmap refused: EINVAL")
    assert found["KVM_FEATURES"].answers[3] == (3, "0x3, 0, 0, 0")
