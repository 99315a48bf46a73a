# SPDX-License-Identifier: GPL-2.0-only
"""What guests see of the services, for the reports: the classes of answers, and the answers of real kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from helpers.contract.features import Probe
from helpers.contract.functions import FUNCTIONS, Situation
from helpers.discovery.probe import probe
from helpers.discovery.services import VARYING, answer_class, survey_services
from helpers.guest_layout import PV_TIME_IPA
from helpers.kvm import Kvm
from helpers.results.records import ServiceInfo

NAMED = {function.name: function for function in FUNCTIONS}


def services(kvm: Kvm) -> tuple[dict[str, ServiceInfo], Probe]:
    features = probe(kvm)
    return {service.function: service for service in survey_services(kvm, features)}, features


def test_a_real_kernel_shows_what_the_contract_says(plant: Callable[..., Kvm]) -> None:
    shown_services, features = services(plant("none"))
    ipa = PV_TIME_IPA if features.pv_time else None
    fresh = {register.name: register.reset for register in features.present}
    assert features.smc
    for service in shown_services.values():
        assert (service.smc_default, service.smc_answers) == (service.default, service.answers)
        function = NAMED[service.function]
        gate = function.gated(features.dialect)
        assert (service.register, service.bit) == (gate or ("", "")) and bool(service.answers) is (gate is not None)
        shown = [(fresh, service.default)]
        shown += [(fresh | {gate[0]: value}, answer) for value, answer in service.answers if gate]
        for values, answer in shown:
            expected = function.expected(Situation(features.dialect, values, features.arch_counter, ipa))
            if isinstance(expected, tuple):
                assert answer == answer_class(function, expected, features), service
            elif expected in ("psci-version", "smccc-version", "constant"):
                assert answer, service
            else:
                assert answer == VARYING, service
    assert {value for value, _ in shown_services["KVM_PTP.VIRTUAL"].answers} == {0, 1, 2, 3}


def test_the_rfc_dialect(plant: Callable[..., Kvm]) -> None:
    shown_services, _ = services(plant(dialect="rfc-v3"))
    assert shown_services["KVM_FEATURES"].register == "" and not shown_services["KVM_FEATURES"].answers
    assert shown_services["KVM_PTP.VIRTUAL"].answers == ((0, "NOT_SUPPORTED"), (1, VARYING))


def test_what_a_fault_changes_shows_and_nothing_else(plant: Callable[..., Kvm]) -> None:
    whole, _ = services(plant("none"))
    shut, _ = services(plant("gate-ptp-shut"))
    changed = {name for name in whole if whole[name] != shut[name]}
    assert changed == {"KVM_PTP.VIRTUAL", "KVM_PTP.PHYSICAL"}
    answers = tuple((value, "NOT_SUPPORTED") for value in range(4))
    assert shut["KVM_PTP.VIRTUAL"] == replace(
        whole["KVM_PTP.VIRTUAL"],
        default="NOT_SUPPORTED",
        answers=answers,
        smc_default="NOT_SUPPORTED",
        smc_answers=answers,
    )


def test_a_bitmap_that_is_refused_is_told(plant: Callable[..., Kvm]) -> None:
    shown_services, _ = services(plant("limit-refuses-ptp-alone"))
    assert shown_services["KVM_FEATURES"].answers[2] == (2, "bitmap refused: EINVAL")
    assert shown_services["KVM_FEATURES"].answers[3] == (3, "0x3, 0, 0, 0")
