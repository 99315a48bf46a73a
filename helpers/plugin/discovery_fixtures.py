# SPDX-License-Identifier: GPL-2.0-only
"""The fixtures that detect a kernel's features, and the record of them in each result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from helpers.batch import KvmError
from helpers.contract.features import Probe
from helpers.contract.service_files import added_services
from helpers.discovery.deviations import recognise_deviations
from helpers.discovery.kernel_facts import about, merge_facts
from helpers.discovery.newer import add_guest_facts
from helpers.discovery.probe import probe
from helpers.discovery.registers import survey, survey_firmware, survey_others
from helpers.discovery.services import survey_services
from helpers.errors import HarnessError
from helpers.identity import MigrationId
from helpers.plugin.choices import WATCHES, case_parameters
from helpers.plugin.kvm_files import open_kvm
from helpers.plugin.reporting import with_accepted
from helpers.recording.phases import facts_as_properties
from helpers.recording.selection import is_suite
from helpers.results.records import FirmwareInfo, KnownDeviation, RegisterInfo, ServiceInfo, SubjectInfo
from helpers.subjects.base import KernelDied, Subject

PROBE_SECONDS = 120.0
"""Timeout of the probe, which does not count as a test's time."""
T = TypeVar("T")
Answers = dict[str, Any]


@pytest.hookimpl(trylast=True)
def pytest_hvc_wants_survey(config: pytest.Config) -> bool:
    """Yes: the report shows the survey."""
    return True


def _wants_survey(config: pytest.Config) -> bool:
    return bool(config.hook.pytest_hvc_wants_survey(config=config))


@pytest.fixture(scope="session")
def _answers(subject: Subject) -> Answers:
    """The kernel's answers so far. pytest would raise the exception of a session fixture again in every later test."""
    return {}


def _once(answers: Answers, name: str, ask: Callable[[], tuple[T, ...]], *ignored: type[Exception]) -> tuple[T, ...]:
    """The answer, requested only once. It is empty if ``ignored`` was raised, or if the kernel died at the request."""
    if name not in answers:
        answers[name] = ()
        with contextlib.suppress(*ignored):
            answers[name] = ask()
    answer: tuple[T, ...] = answers[name]
    return answer


@pytest.fixture
def contract(request: pytest.FixtureRequest, subject: Subject, _answers: Answers) -> Probe:
    """The subject's dialect and features. If the kernel dies during the probe, the next test probes again."""
    if "contract" not in _answers:
        chosen: float | None = request.config.getoption("--test-deadline")
        kvm = open_kvm(request.config, subject)
        subject.begin_test(max(PROBE_SECONDS, chosen or 0.0))
        _answers["contract"] = probe(kvm)
        # If the kernel dies here, the next test uses the probe without the facts that a guest measures.
        _answers["contract"] = add_guest_facts(kvm, _answers["contract"])
        subject.begin_test(chosen)
    features: Probe = _answers["contract"]
    return features


@pytest.fixture
def known_deviations(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _answers: Answers
) -> tuple[KnownDeviation, ...]:
    """The known deviations of the subject's kernel."""
    if request.config.getoption("--no-known-deviations"):
        return ()
    return _once(_answers, "deviations", lambda: recognise_deviations(open_kvm(request.config, subject), contract))


@pytest.fixture(autouse=True)
def _record_environment(request: pytest.FixtureRequest) -> None:
    if "subject" not in request.fixturenames or not is_suite(request.node.nodeid):
        return
    pair = _migration(request.node)
    if pair is not None:
        request.node.user_properties += [("subject", msgspec.to_builtins(pair)), ("dialect", "")]
        return
    answers: Answers = request.getfixturevalue("_answers")
    known = "facts" in answers
    if not known:
        answers["facts"] = _facts(request)
    request.node.user_properties += facts_as_properties(answers["facts"], known=known)


def _facts(request: pytest.FixtureRequest) -> SubjectInfo:
    contract: Probe = request.getfixturevalue("contract")
    subject: Subject = request.getfixturevalue("subject")
    return SubjectInfo(
        subject.id,
        contract.dialect.name,
        request.getfixturevalue("environment"),
        registers=request.getfixturevalue("surveyed"),
        services=request.getfixturevalue("offered"),
        firmware=request.getfixturevalue("firmware"),
        other_registers=dict(request.getfixturevalue("other_registers")),
        known=request.getfixturevalue("known_deviations"),
        unknown=with_accepted(request.config, subject.label, contract.unknown),
    )


@pytest.fixture
def surveyed(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _answers: Answers
) -> tuple[RegisterInfo, ...]:
    """The registers for the report."""
    return _once(_answers, "survey", lambda: survey(open_kvm(request.config, subject), contract), KvmError)


@pytest.fixture
def firmware(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _answers: Answers
) -> tuple[FirmwareInfo, ...]:
    """The firmware registers that are no bitmaps, for the report."""
    if not _wants_survey(request.config):
        return ()
    return _once(_answers, "firmware", lambda: survey_firmware(open_kvm(request.config, subject), contract), KvmError)


@pytest.fixture
def other_registers(
    request: pytest.FixtureRequest, subject: Subject, _answers: Answers
) -> tuple[tuple[str, int | None], ...]:
    """The registers that are neither firmware nor core registers, for the report."""
    if not _wants_survey(request.config):
        return ()
    return _once(_answers, "other registers", lambda: survey_others(open_kvm(request.config, subject)), KvmError)


@pytest.fixture
def offered(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _answers: Answers
) -> tuple[ServiceInfo, ...]:
    """The services for the report; none if the guest does not return, because other tests report that."""

    def ask() -> tuple[ServiceInfo, ...]:
        services: tuple[ServiceInfo, ...] = ()
        # These calls do not count as a test's time.
        subject.begin_test(None)
        with contextlib.suppress(KvmError, HarnessError):
            services = survey_services(open_kvm(request.config, subject), contract)
        # Restores the timeout of the first test, which has not begun yet.
        subject.begin_test(request.config.getoption("--test-deadline"))
        return services

    return _once(_answers, "services", ask) if _wants_survey(request.config) else ()


def _migration(item: pytest.Item) -> MigrationId | None:
    """The pair of kernels that a migration test's result belongs to."""
    source, subject = map(case_parameters(item).get, ("source", "subject"))
    return MigrationId(source, subject) if source != subject and source is not None and subject is not None else None


@pytest.fixture
def environment(request: pytest.FixtureRequest, subject: Subject, contract: Probe, _answers: Answers) -> dict[str, str]:
    """The facts about the subject for the report."""
    if "environment" not in _answers:
        facts: dict[str, str] = {}
        with contextlib.suppress(KernelDied):
            kvm = open_kvm(request.config, subject)
            facts = kvm.placement.describe() | (about(kvm) if _wants_survey(request.config) else {})
        watch = request.config.stash[WATCHES][subject.id]
        _answers["environment"] = {**merge_facts(facts, _environment(subject, contract)), **watch.sees()}
    environment: dict[str, str] = _answers["environment"]
    return environment


def _environment(subject: Subject, contract: Probe) -> dict[str, str]:
    return {
        "kernel": f"Linux {contract.release}",
        "registers": str(len(contract.present)),
        "capability 207": f"{contract.capability[0]} on /dev/kvm, {contract.capability[1]} on a VM",
        "clock source": "architected counter" if contract.arch_counter else "another",
        **({"services": services} if (services := ", ".join(added_services())) else {}),
        "stolen time": "supported" if contract.pv_time else "not supported",
        **subject.describe(),
    }
