# SPDX-License-Identifier: GPL-2.0-only
"""The fixtures that say what a kernel is, found by asking it, and the record of that."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest

from helpers.batch import KvmError
from helpers.contract.features import Probe
from helpers.discovery.deviations import recognise_deviations
from helpers.discovery.kernel_facts import about, merge_facts
from helpers.discovery.probe import probe
from helpers.discovery.registers import survey
from helpers.discovery.services import survey_services
from helpers.errors import HarnessError
from helpers.identity import MigrationId
from helpers.plugin.choices import WATCHES
from helpers.plugin.kvm_files import open_kvm
from helpers.recording.selection import is_suite
from helpers.results.records import KnownDeviation, RegisterInfo, ServiceInfo, SubjectInfo
from helpers.subjects.base import KernelDied, Subject

SURVEY_SECONDS = 60.0
"""What asking a subject's guests for the report may take, which is no test's time."""


@pytest.hookimpl(trylast=True)
def pytest_hvc_wants_survey(config: pytest.Config) -> bool:
    """The report shows it."""
    return True


def _wants_survey(config: pytest.Config) -> bool:
    return bool(config.hook.pytest_hvc_wants_survey(config=config))


@pytest.fixture(scope="session")
def _asked(subject: Subject) -> dict[str, Any]:
    """What the subject's kernel answered so far. pytest would keep a death, too, and give it to every later test."""
    return {}


@pytest.fixture
def contract(request: pytest.FixtureRequest, subject: Subject, _asked: dict[str, Any]) -> Probe:
    """What the subject's kernel speaks, found by asking: if it dies over that, the next test asks again."""
    if "contract" not in _asked:
        _asked["contract"] = probe(open_kvm(request.config, subject))
    found: Probe = _asked["contract"]
    return found


@pytest.fixture
def known_deviations(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> tuple[KnownDeviation, ...]:
    """What the subject's kernel is known to do wrong, found by asking: nothing if it dies over that."""
    if request.config.getoption("--no-known-deviations"):
        return ()
    if "deviations" not in _asked:
        _asked["deviations"] = ()
        _asked["deviations"] = recognise_deviations(open_kvm(request.config, subject), contract)
    found: tuple[KnownDeviation, ...] = _asked["deviations"]
    return found


@pytest.fixture(autouse=True)
def _record_environment(request: pytest.FixtureRequest) -> None:
    if "subject" not in request.fixturenames or not is_suite(request.node.nodeid):
        return
    pair = _migration(request.node)
    if pair is not None:
        request.node.user_properties += [("subject", msgspec.to_builtins(pair)), ("dialect", "")]
        return
    found: Probe = request.getfixturevalue("contract")
    subject: Subject = request.getfixturevalue("subject")
    info = SubjectInfo(
        subject.id,
        found.dialect.name,
        request.getfixturevalue("environment"),
        registers=request.getfixturevalue("surveyed"),
        services=request.getfixturevalue("offered"),
        known=request.getfixturevalue("known_deviations"),
    )
    # xdist sends lists, dicts and texts from the workers, but no object of a class.
    request.node.user_properties += msgspec.to_builtins(info).items()


@pytest.fixture
def surveyed(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> tuple[RegisterInfo, ...]:
    """The registers as the report shows them; none where the kernel cannot even be asked, or dies over it."""
    if "survey" not in _asked:
        _asked["survey"] = ()
        with contextlib.suppress(KvmError):
            _asked["survey"] = survey(open_kvm(request.config, subject), contract)
    found: tuple[RegisterInfo, ...] = _asked["survey"]
    return found


@pytest.fixture
def offered(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> tuple[ServiceInfo, ...]:
    """The services as reports show them; none where a guest does not come back, which is for the checks to say."""
    if not _wants_survey(request.config):
        return ()
    if "services" not in _asked:
        _asked["services"] = ()
        subject.begin_test(SURVEY_SECONDS)
        with contextlib.suppress(KvmError, HarnessError):
            _asked["services"] = survey_services(open_kvm(request.config, subject), contract)
        # The first test has not begun yet.
        subject.begin_test(request.config.getoption("--test-deadline"))
    found: tuple[ServiceInfo, ...] = _asked["services"]
    return found


def _migration(item: pytest.Item) -> MigrationId | None:
    """What a test between two kernels is a result about: neither of them, but the way from one to the other."""
    callspec = getattr(item, "callspec", None)
    source, subject = (callspec.params.get(name) if callspec else None for name in ("source", "subject"))
    return MigrationId(source, subject) if source != subject and source is not None and subject is not None else None


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> dict[str, str]:
    """What the report says of the subject."""
    if "environment" not in _asked:
        seen = request.config.stash[WATCHES][subject.id]
        try:
            told = {} if not _wants_survey(request.config) else about(open_kvm(request.config, subject))
        except KernelDied:
            told = {}
        _asked["environment"] = {**merge_facts(told, _environment(subject, contract)), **seen.sees()}
    found: dict[str, str] = _asked["environment"]
    return found


def _environment(subject: Subject, found: Probe) -> dict[str, str]:
    return {
        "kernel": f"Linux {found.release}",
        "registers": str(len(found.present)),
        "capability 207": f"{found.capability[0]} on /dev/kvm, {found.capability[1]} on a VM",
        "clock source": "architected counter" if found.arch_counter else "another",
        "stolen time": "supported" if found.pv_time else "not supported",
        **subject.describe(),
    }
