# SPDX-License-Identifier: GPL-2.0-only
"""The fixtures that lead to a kernel."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.discovery.kvm_mode import require_mode
from helpers.errors import HarnessError
from helpers.identity import MigrationId, SubjectId, pairs
from helpers.kvm import Kvm
from helpers.plugin.choices import LINEUP, WATCHES, needs_subject, subjects_of
from helpers.plugin.kvm_files import close_kvm, open_kvm
from helpers.recording.recorder import Inconclusive
from helpers.recording.selection import only_shows
from helpers.results.nodeids import parameter_word
from helpers.subjects.base import KernelDied, Subject
from helpers.subjects.watch import Watch

OpenKvm = Callable[[], Kvm]
MODEL_STEPS = 3200
"""What costs about three seconds."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each function that uses a subject is parametrised by the first plugin that does it."""
    if "subject" in metafunc.fixturenames:
        metafunc.config.hook.pytest_hvc_parametrize(metafunc=metafunc)


@pytest.hookimpl(trylast=True)
def pytest_hvc_parametrize(metafunc: pytest.Metafunc) -> bool:
    """Several subjects multiply the tests, and pairs of them the migration tests; one leaves the ids unchanged."""
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
    found = _started(request.session, chosen)
    watch = request.config.stash[WATCHES][chosen] = Watch(found)
    with contextlib.suppress(KernelDied, HarnessError):
        watch.begin()
    yield found
    close_kvm(request.config, found)
    # The last test is still to be told what the kernel says of it.
    with contextlib.suppress(KernelDied, HarnessError):
        watch.end()
    found.close()


def _started(session: pytest.Session, subject_id: SubjectId) -> Subject:
    """The subject with KVM in it; the next ones begin to boot meanwhile."""
    lineup = session.config.stash[LINEUP]
    found: Subject | None = None
    try:
        found = lineup.get(subject_id)
        found.launch()
        if not hasattr(session.config, "workerinput"):
            lineup.launch_after(subject_id, _in_use(session))
        # A death is untold, and told at the end of the first test.
        with contextlib.suppress(KernelDied):
            require_mode(open_kvm(session.config, found), subject_id.variant.kvm_mode)
    except HarnessError as error:
        if found is not None:
            found.close()
        _give_up(session.config, subject_id, error)
        raise
    return found


def _in_use(session: pytest.Session) -> list[SubjectId]:
    """The subjects of the collected tests, in their order."""
    parameters = [getattr(item, "callspec", None) for item in session.items]
    return list(dict.fromkeys(p.params["subject"] for p in parameters if p and "subject" in p.params))


def _give_up(config: pytest.Config, subject_id: SubjectId, error: HarnessError) -> None:
    """The only subject cannot be started: one sentence, not one for every test."""
    if len(subjects_of(config)) == 1 and not hasattr(config, "workerinput"):
        raise Inconclusive(subject_id, error)


def pytest_runtestloop(session: pytest.Session) -> None:
    """Boots before the first test: what goes wrong is said once, and the person sees what is waited for."""
    config = session.config
    if only_shows(config) or hasattr(config, "workerinput") or config.pluginmanager.has_plugin("dsession"):
        return
    subjects = subjects_of(config)
    if len(subjects) == 1 and any(map(needs_subject, session.items)):
        with contextlib.suppress(HarnessError):
            _started(session, subjects[0])


@pytest.fixture
def kvm(request: pytest.FixtureRequest, subject: Subject) -> Kvm:
    """/dev/kvm of the subject, opened again when its kernel had to be started again."""
    return open_kvm(request.config, subject)


@pytest.fixture
def watch(subject: Subject, request: pytest.FixtureRequest) -> Watch:
    """What sees the kernel complain; it looks by itself after every test."""
    return request.config.stash[WATCHES][subject.id]


@pytest.fixture(scope="session")
def source(request: pytest.FixtureRequest) -> SubjectId:
    """The subject that a VM migrates from: the one under test itself, or with several also each of the others."""
    chosen: SubjectId = getattr(request, "param", None) or subjects_of(request.config)[0]
    return chosen


@pytest.fixture
def source_kvm(source: SubjectId, kvm: Kvm, subject: Subject, request: pytest.FixtureRequest) -> OpenKvm:
    """Opens the source's /dev/kvm, for which it may have to boot: to be called only when it is needed."""

    def opened() -> Kvm:
        if source == subject.id:
            return kvm
        found = request.config.stash[LINEUP].get(source)
        found.begin_test(request.config.getoption("--test-deadline"))
        return open_kvm(request.config, found)

    return opened


@pytest.fixture(scope="session")
def model_steps(request: pytest.FixtureRequest) -> tuple[int, int]:
    """How many calls the model's test makes in all, and the seed that chooses them."""
    option = request.config.getoption
    return option("--model-steps") or MODEL_STEPS, option("--model-seed")


@pytest.fixture
def renew_deadline(subject: Subject, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Gives the test its time anew: for one that does the same with one thing after another, as long as it is told."""
    return lambda: subject.begin_test(request.config.getoption("--test-deadline"))


@pytest.fixture
def keep_reproducer(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Puts a C file among the reports, named after the test, and into what is said of its failure."""

    def keep(source: str) -> Path:
        name = re.sub(r"[^\w.-]+", "-", request.node.nodeid.rpartition("::")[2]).strip("-")
        path = Path(request.config.getoption("--reports")) / "reproducers" / f"{name}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
        request.node.add_report_section("call", "C reproducer", source)
        return path

    return keep
