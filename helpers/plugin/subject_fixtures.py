# SPDX-License-Identifier: GPL-2.0-only
"""The fixtures that give a test its kernel."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.discovery.kvm_mode import require_mode
from helpers.errors import HarnessError
from helpers.identity import LOCAL, MigrationId, SubjectId, pairs
from helpers.kvm import Kvm
from helpers.plugin.choices import LINEUP, WATCHES, case_parameters, needs_subject, runs_suites, subjects_of
from helpers.plugin.kvm_files import close_kvm, open_kvm
from helpers.recording.phases import NOTE
from helpers.recording.recorder import Inconclusive
from helpers.results.nodeids import parameter_word
from helpers.subjects.base import KernelDied, Subject
from helpers.subjects.local import check_device
from helpers.subjects.watch import Watch

OpenKvm = Callable[[], Kvm]
MODEL_STEPS = 3200
"""Takes about three seconds."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A function that uses a subject is parametrised by the first plugin whose hook returns True."""
    if "subject" in metafunc.fixturenames:
        metafunc.config.hook.pytest_hvc_parametrize(metafunc=metafunc)


@pytest.hookimpl(trylast=True)
def pytest_hvc_parametrize(metafunc: pytest.Metafunc) -> bool:
    """Run each test on each subject, and migration tests on each pair. A single subject is not part of the test ids."""
    subjects = subjects_of(metafunc.config)
    if len(subjects) < 2:
        return True
    if "source" in metafunc.fixturenames:
        values = pairs(subjects)
        ids = [parameter_word(b if a == b else MigrationId(a, b)) for a, b in values]
        metafunc.parametrize(("source", "subject"), values, indirect=True, scope="session", ids=ids)
    else:
        ids = [parameter_word(each) for each in subjects]
        metafunc.parametrize("subject", subjects, indirect=True, scope="session", ids=ids)
    return True


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The kernel under test, started."""
    chosen: SubjectId = getattr(request, "param", None) or subjects_of(request.config)[0]
    started = _started(request.session, chosen)
    watch = request.config.stash[WATCHES][chosen] = Watch(started)
    with contextlib.suppress(KernelDied, HarnessError):
        watch.begin()
    yield started
    close_kvm(request.config, started)
    # This runs in the teardown of the subject's last test, whose hook then reports what this last look finds.
    with contextlib.suppress(KernelDied, HarnessError):
        watch.end()
    started.close()
    # Its next start in this session is like its first one.
    started.use_processors(every=False)


def _started(session: pytest.Session, subject_id: SubjectId) -> Subject:
    """The started subject with KVM opened. Also launches the next subjects, which boot meanwhile."""
    lineup = session.config.stash[LINEUP]
    subject: Subject | None = None
    try:
        subject = lineup.get(subject_id)
        subject.launch()
        if not hasattr(session.config, "workerinput"):
            lineup.launch_after(subject_id, _in_use(session))
        # The teardown of the first test reports a death.
        with contextlib.suppress(KernelDied):
            require_mode(open_kvm(session.config, subject), subject_id.variant.kvm_mode)
    except HarnessError as error:
        if subject is not None:
            subject.close()
        if len(subjects_of(session.config)) == 1 and not hasattr(session.config, "workerinput"):
            # One error ends the session, instead of one for every test.
            raise Inconclusive(subject_id, error) from error
        raise
    return subject


def _check_local() -> None:
    """Raises Inconclusive if this machine's KVM cannot be used. xdist's workers would report it for every test."""
    try:
        check_device()
    except HarnessError as error:
        raise Inconclusive(LOCAL, error) from error


def _in_use(session: pytest.Session) -> list[SubjectId]:
    """The subjects of the collected tests, in their order."""
    parameters = map(case_parameters, session.items)
    return list(dict.fromkeys(each["subject"] for each in parameters if "subject" in each))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Boots a single subject before the first test, so that its progress is visible and an error is reported once."""
    config = session.config
    if not runs_suites(config) or hasattr(config, "workerinput"):
        return
    subjects = subjects_of(config)
    if config.pluginmanager.has_plugin("dsession"):
        if subjects == (LOCAL,):
            _check_local()
        return
    if len(subjects) == 1 and any(map(needs_subject, session.items)):
        with contextlib.suppress(HarnessError):
            _started(session, subjects[0])


@pytest.fixture
def kvm(request: pytest.FixtureRequest, subject: Subject) -> Kvm:
    """/dev/kvm of the subject, reopened after a reboot of its kernel."""
    return open_kvm(request.config, subject)


@pytest.fixture
def watch(subject: Subject, request: pytest.FixtureRequest) -> Watch:
    """Watches the kernel's log and taint. Every teardown checks it."""
    return request.config.stash[WATCHES][subject.id]


@pytest.fixture(scope="session")
def source(request: pytest.FixtureRequest) -> SubjectId:
    """The subject that a VM migrates from: the one under test or, with several subjects, another one."""
    chosen: SubjectId = getattr(request, "param", None) or subjects_of(request.config)[0]
    return chosen


@pytest.fixture
def source_kvm(source: SubjectId, kvm: Kvm, subject: Subject, request: pytest.FixtureRequest) -> OpenKvm:
    """Opens the source's /dev/kvm. Call it only if needed, because the source may have to boot."""

    def opened() -> Kvm:
        if source == subject.id:
            return kvm
        other = request.config.stash[LINEUP].get(source)
        other.begin_test(request.config.getoption("--test-deadline"))
        return open_kvm(request.config, other)

    return opened


@pytest.fixture(scope="session")
def model_steps(request: pytest.FixtureRequest) -> tuple[int, int]:
    """The number of random calls of all model tests together, and the seed."""
    option = request.config.getoption
    return option("--model-steps") or MODEL_STEPS, option("--model-seed")


@pytest.fixture
def renew_deadline(subject: Subject, request: pytest.FixtureRequest) -> Callable[[], float]:
    """Restarts the test's timeout (returns it in seconds), for a test whose number of repetitions is an option."""
    return lambda: subject.begin_test(request.config.getoption("--test-deadline"))


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds an observation outside of the test's clauses to its result. It does not affect the outcome."""
    return lambda text: request.node.user_properties.append((NOTE, text))


@pytest.fixture
def keep_reproducer(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Writes a C file, named after the test, into the reports' folder, and returns its path."""

    def keep(source: str) -> Path:
        name = re.sub(r"[^\w.-]+", "-", request.node.nodeid.rpartition("::")[2]).strip("-")
        path = Path(request.config.getoption("--reports")) / "reproducers" / f"{name}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
        return path

    return keep
