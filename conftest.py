# SPDX-License-Identifier: GPL-2.0-only
"""Wires the rooms together for pytest: options, subjects, what each result carries, the recorder."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from helpers import build, guests
from helpers.contract.clauses import CLAUSES
from helpers.contract.probe import Probe, probe
from helpers.errors import HarnessError, UsageError
from helpers.kvm import Kvm
from helpers.results.html import prepare_html
from helpers.results.plugin import Recorder
from helpers.results.selection import is_suite, only_shows, touches_suites
from helpers.subjects import choose
from helpers.subjects.apt import MIRROR_OPTION, MIRROR_VARIABLE
from helpers.subjects.base import Subject
from helpers.subjects.planted import OWN_DIALECT


def pytest_addoption(parser: pytest.Parser) -> None:
    """The suite's own options."""
    group = parser.getgroup("subject", "the kernel under test")
    group.addoption(
        "--kernel",
        action="append",
        default=[],
        metavar="WHAT",
        help="boot WHAT in QEMU: an arm64 Image (raw, gzip, EFI zboot) or debian:SUITE; repeatable",
    )
    group.addoption(
        MIRROR_OPTION, metavar="URL", help=f"Debian mirror (default: ${MIRROR_VARIABLE}, or this machine's)"
    )
    group.addoption(
        "--dialect-host",
        choices=["rfc-v3"],
        help="load a module that gives the kernel this dialect (debian:SUITE only)",
    )
    group.addoption(
        "--plant",
        action="append",
        default=[],
        metavar="FAULT",
        help="plant FAULT (faults/catalogue.py) in the kernel, to see which tests notice it; repeatable",
    )
    group.addoption("--reports", metavar="DIR", help="where the results log and the reports go (default: reports)")


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _labels(config: pytest.Config) -> tuple[str, ...]:
    dialect = config.getoption("--dialect-host") or OWN_DIALECT
    return choose.labels(config.getoption("--kernel"), dialect=dialect, faults=config.getoption("--plant"))


def _subject(config: pytest.Config, label: str, warm: dict[str, Subject]) -> Subject:
    mirror = config.getoption(MIRROR_OPTION) or os.environ.get(MIRROR_VARIABLE)
    return choose.subject(label, mirror=mirror, progress=_progress, warm=warm)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Finds every kernel before the first test, so that a wrong name costs nothing that was measured."""
    if hasattr(config, "workerinput"):
        return
    reports = config.getoption("--reports")
    folder = config.invocation_params.dir / reports if reports else config.rootpath / "reports"
    if touches_suites(config) and not only_shows(config):
        _check_subjects(config)
    prepare_html(config, folder)
    config.pluginmanager.register(Recorder(config, folder, _labels(config)), "hvc-recorder")


def _check_subjects(config: pytest.Config) -> None:
    try:
        build.build_all()
        unused: dict[str, Subject] = {}
        for label in _labels(config):
            _subject(config, label, unused)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except HarnessError as error:
        pytest.exit(f"INCONCLUSIVE: {error}", returncode=3)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Several subjects multiply the tests; a single one leaves the ids as they are."""
    labels = _labels(metafunc.config)
    if "subject" in metafunc.fixturenames and len(labels) > 1:
        metafunc.parametrize("subject", labels, indirect=True, scope="session", ids=labels)


@pytest.fixture(scope="session")
def warm() -> Iterator[dict[str, Subject]]:
    """The machines in which something is planted: one boot serves every fault."""
    machines: dict[str, Subject] = {}
    yield machines
    for machine in machines.values():
        machine.close()


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest, warm: dict[str, Subject]) -> Iterator[Subject]:
    """The kernel under test, started."""
    label = getattr(request, "param", None) or _labels(request.config)[0]
    found = _subject(request.config, label, warm)
    try:
        found.start()
        Kvm(found, guests.load_image(build.GUEST))
    except HarnessError as error:
        found.close()
        _give_up(request.config, label, error)
        raise
    yield found
    found.close()


def _give_up(config: pytest.Config, label: str, error: HarnessError) -> None:
    """The only subject cannot be started: one sentence, not one for every test."""
    if len(_labels(config)) == 1 and not hasattr(config, "workerinput"):
        pytest.exit(f"INCONCLUSIVE {label}: {error}", returncode=3)


@pytest.fixture(scope="session")
def _opened() -> dict[str, Kvm]:
    return {}


@pytest.fixture
def kvm(subject: Subject, _opened: dict[str, Kvm]) -> Kvm:
    """/dev/kvm of the subject, opened again when its kernel had to be started again."""
    kept = _opened.get(subject.label)
    if kept is None or not kept.alive:
        kept = _opened[subject.label] = Kvm(subject, guests.load_image(build.GUEST))
    return kept


@pytest.fixture(scope="session")
def contract(subject: Subject) -> Probe:
    """What the subject's kernel speaks, found by asking."""
    return probe(Kvm(subject, guests.load_image(build.GUEST)))


@pytest.fixture(autouse=True)
def _record_environment(request: pytest.FixtureRequest) -> None:
    if "subject" not in request.fixturenames or not is_suite(request.node.nodeid):
        return
    found: Probe = request.getfixturevalue("contract")
    subject: Subject = request.getfixturevalue("subject")
    request.node.user_properties += [
        ("subject", subject.label),
        ("dialect", found.dialect.name),
        ("environment", _environment(subject, found)),
    ]


def _environment(subject: Subject, found: Probe) -> dict[str, str]:
    return {
        "kernel": f"Linux {found.release}",
        "registers": str(len(found.present)),
        "capability 207": f"{found.capability[0]} on /dev/kvm, {found.capability[1]} on a VM",
        "clock source": "architected counter" if found.arch_counter else "another",
        "stolen time": "supported" if found.pv_time else "not supported",
        **subject.describe(),
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each result carries the sentences that its test checks."""
    for item in items:
        if not is_suite(item.nodeid):
            continue
        ids = [str(i) for mark in item.iter_markers("clause") for i in mark.args]
        unknown = [i for i in ids if i not in CLAUSES]
        if unknown or not ids:
            raise pytest.UsageError(f"{item.nodeid} names {unknown or 'no clause'}: see helpers/contract/clauses.py")
        clauses = [CLAUSES[i] for i in ids]
        item.user_properties += [
            ("clauses", ids),
            ("requirement", " ".join(c.text for c in clauses)),
            ("source", "; ".join(f"{c.source} ({c.standing.value})" for c in clauses)),
        ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A harness error is told from a failure, in one sentence."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, HarnessError):
        text = str(call.excinfo.value)
        report.user_properties = [*report.user_properties, ("harness_error", text)]
        report.longrepr = f"HARNESS ERROR, not a finding about the kernel: {text}"
    return report


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is under test."""
    return [f"subjects: {', '.join(_labels(config))}"] if touches_suites(config) else []
