# SPDX-License-Identifier: GPL-2.0-only
"""Wires the rooms together for pytest: options, subjects, what each result carries, the recorder."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from helpers import build, guests, interrupt, version
from helpers.contract.about import about, merged
from helpers.contract.clauses import CHAPTERS, CLAUSES
from helpers.contract.deviations import Deviation, recognised
from helpers.contract.differences import DIFFERENCES, standing_of
from helpers.contract.mode import MODES, require_mode
from helpers.contract.probe import Probe, probe
from helpers.contract.services import Service, services
from helpers.contract.survey import Surveyed, survey
from helpers.errors import HarnessError, UsageError
from helpers.kvm import Kvm, KvmError
from helpers.progress import Progress
from helpers.results.columns import columns
from helpers.results.folder import claim
from helpers.results.gate import REQUIREMENTS, Gate, gate, read_baseline
from helpers.results.html import prepare_html
from helpers.results.known import excuse_known
from helpers.results.plugin import Recorder
from helpers.results.records import Contract, Difference, Log, Sentence
from helpers.results.repeat import pytest_runtest_protocol
from helpers.results.selection import is_suite, only_shows, touches_suites
from helpers.subjects import choose, lab
from helpers.subjects.apt import MIRROR_OPTION, MIRROR_VARIABLE
from helpers.subjects.base import GivenUp, KernelDied, Subject
from helpers.subjects.lineup import Lineup
from helpers.subjects.planted import OWN_DIALECT
from helpers.subjects.setting import settings
from helpers.subjects.watch import KernelComplained, Watch
from helpers.trace.listing import listing
from helpers.trace.recorder import Trace, Traced

__all__ = ["pytest_runtest_protocol"]

OpenKvm = Callable[[], Kvm]
LINEUP = pytest.StashKey[Lineup]()
FOLDER = pytest.StashKey[Path]()
WATCHES = pytest.StashKey[dict[str, Watch]]()
TRACE = pytest.StashKey[Trace]()
WORKERS = pytest.StashKey[list[int]]()
MODEL_STEPS = 3200
"""What costs about three seconds."""
TOLD = pytest.StashKey[list[KernelDied]]()
"""The deaths that a test's own reports tell of."""
TEARDOWN_SECONDS = 5.0
"""What closing a test's VMs may take when the test itself used up its time."""
SURVEY_SECONDS = 60.0
"""What asking a subject's guests for the report may take, which is no test's time."""


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
        "--board",
        action="append",
        default=[],
        metavar="USER@HOST",
        help="the kernel that runs on an arm64 board, reached by ssh as it is set up here; repeatable",
    )
    group.addoption(
        MIRROR_OPTION, metavar="URL", help=f"Debian mirror (default: ${MIRROR_VARIABLE}, or this machine's)"
    )
    group.addoption(
        "--kvm-mode",
        type=_modes,
        default=(),
        metavar="MODES",
        help="boot each kernel once in each of these, separated by commas: vhe, nvhe, protected",
    )
    group.addoption(
        "--cpu", action="append", default=[], metavar="CPU", help="QEMU's -cpu; repeatable: each kernel once on each"
    )
    group.addoption(
        "--kernel-args",
        action="append",
        default=[],
        metavar="ARGS",
        help="more for the kernel's command line; repeatable: each kernel once with each",
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
    group.addoption(
        "--test-deadline",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="what a test may take before its kernel is started afresh (default: 20)",
    )
    group.addoption(
        "--boot-deadline",
        type=_seconds,
        default=choose.BOOT_SECONDS,
        metavar="SECONDS",
        help="what a kernel may take to boot; one that prints nothing for a quarter of it hangs (default: 180)",
    )
    group.addoption(
        "--no-known-deviations",
        action="store_true",
        help="judge every failure as one, also those that are known of released kernels",
    )
    group.addoption(
        "--race-rounds",
        type=int,
        default=800,
        metavar="N",
        help="rounds of the race between a write and the first KVM_RUN, for each register (default: 800)",
    )
    group.addoption(
        "--model-steps",
        type=int,
        metavar="N",
        help="drive kernel and model through about N calls, chosen at random (default: the same 3200 each time)",
    )
    group.addoption("--model-seed", type=int, metavar="N", help="choose them as the run did that printed this seed")
    group.addoption("--baseline", metavar="FILE", help="failures that are answered for (helpers/results/gate.py)")
    group.addoption("--require", choices=REQUIREMENTS, help="fail a kernel that does not speak this dialect")
    group.addoption("--reports", metavar="DIR", help="where the results log and the reports go (default: reports)")


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise ValueError
    return value


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(text.split(",")))
    if set(modes) - set(MODES):
        raise argparse.ArgumentTypeError(f"{text!r} is not of {', '.join(MODES)}, separated by commas")
    return modes


def _environment_file(config: pytest.Config) -> str:
    """labgrid's, as its own plugin is told of it; "" where there is none."""
    if not config.pluginmanager.has_plugin("labgrid"):
        return ""
    return config.getoption("lg_env") or os.environ.get("LG_ENV", "")


def _places(config: pytest.Config) -> tuple[str, ...]:
    """The targets in labgrid's environment."""
    file = _environment_file(config)
    if not file:
        return ()
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        raise pytest.UsageError("What labgrid gives is held by one process: run with -n 0 (make: JOBS=0)")
    try:
        return lab.targets(file)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _labels(config: pytest.Config) -> tuple[str, ...]:
    option = config.getoption
    return choose.labels(
        option("--kernel"),
        option("--board"),
        _places(config),
        dialect=option("--dialect-host") or OWN_DIALECT,
        faults=option("--plant"),
        settings=settings(option("--kvm-mode"), option("--cpu"), option("--kernel-args")),
    )


def _lineup(config: pytest.Config) -> Lineup:
    mirror = config.getoption(MIRROR_OPTION) or os.environ.get(MIRROR_VARIABLE)
    means = choose.Means(mirror, Progress(), config.getoption("--boot-deadline"), _environment_file(config))
    trace = config.stash[TRACE] = Trace()
    return Lineup(lambda label, warm: Traced(choose.subject(label, means, warm), trace))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Finds every kernel before the first test, so that a wrong name costs nothing that was measured."""
    config.stash[LINEUP] = _lineup(config)
    config.stash[WATCHES] = {}
    if hasattr(config, "workerinput"):
        interrupt.end_at_once(config.stash[LINEUP].close)
        return
    if not config.getoption("usepdb"):
        interrupt.end_in_order(lambda: _end_workers(config), lambda: _write_nowhere(config))
    folder = config.stash[FOLDER] = _reports_folder(config)
    # xdist's workers inherit the options, and must agree with each other.
    config.option.reports = str(folder)
    if config.getoption("--model-seed") is None:
        config.option.model_seed = random.randrange(1 << 32) if config.getoption("--model-steps") else 0
    if _runs_suites(config):
        _check_subjects(config)
    prepare_html(config, folder)
    recorder = Recorder(config, folder, _labels(config), _contract(), _judge(config), _suite(config))
    config.pluginmanager.register(recorder, "hvc-recorder")


def _runs_suites(config: pytest.Config) -> bool:
    return touches_suites(config) and not only_shows(config)


def _reports_folder(config: pytest.Config) -> Path:
    reports = config.getoption("--reports")
    folder = config.invocation_params.dir / reports if reports else config.rootpath / "reports"
    try:
        return claim(folder, asked=bool(reports)) if _runs_suites(config) else folder
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _judge(config: pytest.Config) -> Callable[[Log], Gate] | None:
    """The gate that was asked for; the baseline is read before anything is run."""
    file, require = config.getoption("--baseline"), config.getoption("--require")
    try:
        baseline = read_baseline(config.invocation_params.dir / file) if file else ()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return (lambda log: gate(columns([log]), baseline, require, date.today())) if file or require else None


def _suite(config: pytest.Config) -> dict[str, str]:
    """What the log says of the suite itself, and what its random choices begin with."""
    seed = getattr(config.option, "hypothesis_seed", None)
    found = {**version.environment(), "Hypothesis seed": "random" if seed is None else str(seed)}
    return {**found, "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "random")}


def _contract() -> Contract:
    """The clauses and differences as the log holds them."""
    sentences = [Sentence(c.id, name, c.text, c.source, standing_of(c)) for name in CHAPTERS for c in CHAPTERS[name]]
    differences = [Difference(d.id, ", ".join(d.clauses), d.documents, d.code, d.followed) for d in DIFFERENCES]
    return Contract(tuple(sentences), tuple(differences))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Several subjects are shared out; the tests of a single one go to whichever worker is free."""
    labels = _labels(config)
    if len(labels) == 1 or config.getoption("dist") != "load":
        return None
    from helpers.scheduling import BySubject

    return BySubject(config, log, labels, len(config.getoption("tx")))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Keeps xdist's worker, should it have to end."""
    # execnet tells the process of a worker on this machine to nobody but itself.
    popen = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if popen is not None:
        node.config.stash.setdefault(WORKERS, []).append(popen.pid)


def _end_workers(config: pytest.Config) -> None:
    """Now: xdist would wait ten seconds for them."""
    for pid in config.stash.get(WORKERS, []):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _write_nowhere(config: pytest.Config) -> None:
    """The terminal is gone, and writing to it fails; the reports are still wanted."""
    # Open until the process ends.
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115
    sys.stdout = sys.stderr = nowhere
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal._tw._file = nowhere


def _check_subjects(config: pytest.Config) -> None:
    try:
        build.build_all()
        for label in _labels(config):
            config.stash[LINEUP].get(label)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except HarnessError as error:
        pytest.exit(f"INCONCLUSIVE: {error}", returncode=3)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Several subjects multiply the tests, those of migration by each other; one leaves the ids as they are."""
    if metafunc.config.pluginmanager.has_plugin("faults.plugin"):
        return
    labels = _labels(metafunc.config)
    if "subject" not in metafunc.fixturenames or len(labels) < 2:
        return
    if "source" in metafunc.fixturenames:
        pairs = choose.pairs(labels)
        ids = [b if a == b else f"{a}->{b}" for a, b in pairs]
        metafunc.parametrize(("source", "subject"), pairs, indirect=True, scope="session", ids=ids)
    else:
        metafunc.parametrize("subject", labels, indirect=True, scope="session", ids=labels)


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The kernel under test, started."""
    label = getattr(request, "param", None) or _labels(request.config)[0]
    found = _started(request.session, label)
    with contextlib.suppress(KernelDied, HarnessError):
        request.config.stash[WATCHES].setdefault(label, Watch(found)).begin()
    yield found
    found.close()
    if choose.wanted(label).fault:
        # The machine lives on with another fault, and another watch.
        request.config.stash[WATCHES].pop(label, None)


def _started(session: pytest.Session, label: str) -> Subject:
    """The subject with KVM in it; the next ones begin to boot meanwhile."""
    lineup = session.config.stash[LINEUP]
    found: Subject | None = None
    try:
        found = lineup.get(label)
        found.launch()
        if not hasattr(session.config, "workerinput"):
            lineup.launch_after(label, _in_use(session))
        # A death is untold, and told at the end of the first test.
        with contextlib.suppress(KernelDied):
            require_mode(Kvm(found, guests.load_image(build.GUEST)), choose.wanted(label).setting.mode)
    except HarnessError as error:
        if found is not None:
            found.close()
        _give_up(session.config, label, error)
        raise
    return found


def _in_use(session: pytest.Session) -> list[str]:
    """The subjects of the collected tests, in their order."""
    parameters = [getattr(item, "callspec", None) for item in session.items]
    return list(dict.fromkeys(p.params["subject"] for p in parameters if p and "subject" in p.params))


def pytest_runtestloop(session: pytest.Session) -> None:
    """Boots before the first test: what goes wrong is said once, and the person sees what is waited for."""
    config = session.config
    if only_shows(config) or hasattr(config, "workerinput") or config.pluginmanager.has_plugin("dsession"):
        return
    labels = _labels(config)
    if len(labels) == 1 and any(map(_needs_subject, session.items)):
        with contextlib.suppress(HarnessError):
            _started(session, labels[0])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whoever presses Ctrl-C now gets whole reports."""
    config = session.config
    if not hasattr(config, "workerinput") and not config.getoption("usepdb"):
        interrupt.end_already(lambda: _end_workers(config), lambda: _write_nowhere(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """However the session ended, no virtual machine stays."""
    if LINEUP in config.stash:
        config.stash[LINEUP].close()
    if _environment_file(config):
        lab.let_go(_environment_file(config))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The test's time begins, and so do the last words of a kernel that it kills."""
    item.config.stash[TRACE].clear()
    if _needs_subject(item):
        with contextlib.suppress(HarnessError):
            _subject_of(item).begin_test(item.config.getoption("--test-deadline"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Whatever the test took, its VMs are closed; and a kernel that complained meanwhile has failed it."""
    if _needs_subject(item):
        with contextlib.suppress(HarnessError):
            _subject_of(item).begin_teardown(TEARDOWN_SECONDS)
    try:
        yield
    finally:
        deaths = [died for died in item.config.stash[LINEUP].untold() if died not in item.stash.get(TOLD, ())]
    if deaths:
        # Whoever met it went on without a word.
        raise deaths[0]
    watches = item.config.stash[WATCHES]
    for label in watches if _needs_subject(item) else ():
        with item.config.stash[TRACE].paused():
            complaint = watches[label].complaint()
        if complaint:
            raise KernelComplained(complaint)


def _needs_subject(item: pytest.Item) -> bool:
    return is_suite(item.nodeid) and "subject" in getattr(item, "fixturenames", ())


def _subject_of(item: pytest.Item) -> Subject:
    """The subject of a test, perhaps not started. Raises HarnessError, as its own fixture will again."""
    callspec = getattr(item, "callspec", None)
    label = callspec.params.get("subject") if callspec else None
    return item.config.stash[LINEUP].get(label or _labels(item.config)[0])


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


@pytest.fixture
def watch(subject: Subject, request: pytest.FixtureRequest) -> Watch:
    """What sees the kernel complain; it looks by itself after every test."""
    return request.config.stash[WATCHES][subject.label]


@pytest.fixture(scope="session")
def source(request: pytest.FixtureRequest) -> str:
    """The subject that a VM migrates from: the one under test itself, or with several also each of the others."""
    return str(getattr(request, "param", None) or _labels(request.config)[0])


@pytest.fixture
def source_kvm(
    source: str, kvm: Kvm, subject: Subject, _opened: dict[str, Kvm], request: pytest.FixtureRequest
) -> OpenKvm:
    """Opens the source's /dev/kvm, for which it may have to boot: to be called only when it is needed."""

    def opened() -> Kvm:
        if source == subject.label:
            return kvm
        found = request.config.stash[LINEUP].get(source)
        found.begin_test(request.config.getoption("--test-deadline"))
        kept = _opened.get(source)
        if kept is None or not kept.alive:
            kept = _opened[source] = Kvm(found, guests.load_image(build.GUEST))
        return kept

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


@pytest.fixture(scope="session")
def _asked(subject: Subject) -> dict[str, Any]:
    """What the subject's kernel answered so far. pytest would keep a death, too, and give it to every later test."""
    return {}


@pytest.fixture
def contract(subject: Subject, _asked: dict[str, Any]) -> Probe:
    """What the subject's kernel speaks, found by asking: if it dies over that, the next test asks again."""
    if "contract" not in _asked:
        _asked["contract"] = probe(Kvm(subject, guests.load_image(build.GUEST)))
    found: Probe = _asked["contract"]
    return found


@pytest.fixture
def known_deviations(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> tuple[Deviation, ...]:
    """What the subject's kernel is known to do wrong, found by asking: nothing if it dies over that."""
    if request.config.getoption("--no-known-deviations"):
        return ()
    if "deviations" not in _asked:
        _asked["deviations"] = ()
        _asked["deviations"] = recognised(Kvm(subject, guests.load_image(build.GUEST)), contract)
    found: tuple[Deviation, ...] = _asked["deviations"]
    return found


@pytest.fixture(autouse=True)
def _record_environment(request: pytest.FixtureRequest) -> None:
    if "subject" not in request.fixturenames or not is_suite(request.node.nodeid):
        return
    pair = _migration(request.node)
    if pair is not None:
        request.node.user_properties += [("subject", pair), ("dialect", "")]
        return
    found: Probe = request.getfixturevalue("contract")
    subject: Subject = request.getfixturevalue("subject")
    request.node.user_properties += [
        ("subject", subject.label),
        ("dialect", found.dialect.name),
        ("environment", request.getfixturevalue("environment")),
        ("registers", request.getfixturevalue("surveyed")),
        ("services", request.getfixturevalue("offered")),
        ("known_deviations", [_as_text(each) for each in request.getfixturevalue("known_deviations")]),
    ]


@pytest.fixture
def surveyed(subject: Subject, contract: Probe, _asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The registers as the report shows them; none where the kernel cannot even be asked, or dies over it."""
    if "survey" not in _asked:
        _asked["survey"] = []
        with contextlib.suppress(KvmError):
            _asked["survey"] = _as_dicts(survey(Kvm(subject, guests.load_image(build.GUEST)), contract))
    found: list[dict[str, Any]] = _asked["survey"]
    return found


def _as_dicts(found: Iterable[Surveyed]) -> list[dict[str, Any]]:
    return [
        {"name": s.register.name, "id": s.register.id, "bits": s.register.bits, "default": s.default,
         "supported": s.supported}
        for s in found
    ]  # fmt: skip


@pytest.fixture
def offered(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """The services as reports show them; none where a guest does not come back, which is for the checks to say."""
    if "services" not in _asked:
        _asked["services"] = []
        subject.begin_test(SURVEY_SECONDS)
        with contextlib.suppress(KvmError, HarnessError):
            _asked["services"] = _services(services(Kvm(subject, guests.load_image(build.GUEST)), contract))
        # The first test has not begun yet.
        subject.begin_test(request.config.getoption("--test-deadline"))
    found: list[dict[str, Any]] = _asked["services"]
    return found


def _services(found: Iterable[Service]) -> list[dict[str, Any]]:
    return [
        {"function": s.function, "register": (s.gate or ("", ""))[0], "bit": (s.gate or ("", ""))[1],
         "default": s.default, "answers": s.answers}
        for s in found
    ]  # fmt: skip


def _as_text(known: Deviation) -> dict[str, str]:
    return {"name": known.name, "clause": known.clause, "reason": known.reason, "link": known.link}


def _migration(item: pytest.Item) -> str | None:
    """What a test between two kernels is a result about: neither of them, but the way from one to the other."""
    callspec = getattr(item, "callspec", None)
    source, subject = (callspec.params.get(name) if callspec else None for name in ("source", "subject"))
    return f"migration {source} -> {subject}" if source != subject and source is not None else None


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, subject: Subject, contract: Probe, _asked: dict[str, Any]
) -> dict[str, str]:
    """What the report says of the subject."""
    if "environment" not in _asked:
        seen = request.config.stash[WATCHES][subject.label]
        try:
            told = about(Kvm(subject, guests.load_image(build.GUEST)))
        except KernelDied:
            told = {}
        _asked["environment"] = {**merged(told, _environment(subject, contract)), **seen.sees()}
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


def _clause_ids(item: pytest.Item) -> list[str]:
    return [str(i) for mark in item.iter_markers("clause") for i in mark.args]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each result carries the sentences that its test checks, in whose order each subject's tests run.

    The contract begins with what the rest builds on, so the first failure names the sentence that is broken, not one
    whose test merely stumbles over it. A subject that is left for another is closed, and would have to boot again.
    """
    for item in items:
        if not is_suite(item.nodeid):
            continue
        ids = _clause_ids(item)
        unknown = [i for i in ids if i not in CLAUSES]
        if unknown or not ids:
            raise pytest.UsageError(f"{item.nodeid} names {unknown or 'no clause'}: see helpers/contract/clauses.py")
        clauses = [CLAUSES[i] for i in ids]
        item.user_properties += [
            ("clauses", ids),
            ("requirement", " ".join(c.text for c in clauses)),
            ("source", "; ".join(f"{c.source} ({standing_of(c)})" for c in clauses)),
        ]
    order = {clause: number for number, clause in enumerate(CLAUSES)}
    subjects = {label: number for number, label in enumerate(_labels(config))}

    def place(item: pytest.Item) -> tuple[int, int]:
        if not is_suite(item.nodeid):
            return -1, -1
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        return subjects.get(str(parameters.get("subject")), 0), order[_clause_ids(item)[0]]

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Harness errors, known deviations and failures are told apart; a kernel's death needs no traceback."""
    report = yield
    excuse_known(report, call)
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, HarnessError):
        report.user_properties = [*report.user_properties, ("harness_error", str(error))]
        report.longrepr = f"HARNESS ERROR, not a finding about the kernel: {error}"
    elif isinstance(error, KernelDied):
        item.stash.setdefault(TOLD, []).append(error)
        report.user_properties = [*report.user_properties, ("kernel_died", error.how)]
        report.longrepr = str(error)
    elif isinstance(error, KernelComplained):
        report.user_properties = [*report.user_properties, ("kernel_complained", str(error))]
        report.longrepr = str(error)
    if error is not None and not isinstance(error, pytest.skip.Exception) and is_suite(item.nodeid):
        report.user_properties = [*report.user_properties, ("calls", listing(item.config.stash[TRACE]))]
    if isinstance(error, GivenUp) and len(_labels(item.config)) == 1:
        item.session.shouldstop = str(error)
    return report


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is under test, where the reports go if another session has their folder, and what chance began with."""
    if not touches_suites(config):
        return []
    # A worker has none.
    folder = config.stash.get(FOLDER, None)
    moved = folder is not None and folder.name.startswith("session-")
    elsewhere = [f"reports: {folder}, because another session runs"] if moved else []
    seed = [f"model seed: {config.getoption('--model-seed')}"] if config.getoption("--model-steps") else []
    return [f"subjects: {', '.join(_labels(config))}", *elsewhere, *seed]
