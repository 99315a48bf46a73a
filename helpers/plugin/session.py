# SPDX-License-Identifier: GPL-2.0-only
"""The start and the end of a session."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from helpers import build
from helpers.errors import HarnessError, UsageError
from helpers.plugin import interrupt
from helpers.plugin.choices import (
    FOLDER,
    LINEUP,
    TRACE,
    TURNS,
    TURNS_INPUT,
    WATCHES,
    WORKERS,
    environment_file,
    runs_suites,
    subjects_of,
    tier_of,
)
from helpers.plugin.reporting import contract_sentences, judge, reports_folder, suite
from helpers.progress import Progress
from helpers.recording.failures import Failures
from helpers.recording.pytest_html import prepare_html
from helpers.recording.recorder import Recorder
from helpers.recording.selection import suite_root, touches_suites
from helpers.results.nodeids import NodeIds
from helpers.results.reproduce import reproduce
from helpers.results.verdict import VerdictKind
from helpers.subjects import choose, lab
from helpers.subjects.apt import MIRROR_OPTION, MIRROR_VARIABLE
from helpers.subjects.lineup import Lineup
from helpers.subjects.turns import NoTurns, SharedTurns
from helpers.trace.recorder import Trace, Traced

_ALLOCATIONS = 20_000
"""Objects after whose allocation the garbage collector runs; Python's default is 700."""
_INTERRUPTED: pytest.StashKey[bool] = pytest.StashKey()
_CHOSEN = ("reports", "model_seed")
"""Options whose values the controller chooses if they are not given. Workers must agree with each other."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Resolves every kernel before the first test, so that a wrong name is reported before any test runs."""
    clause = "clause(*ids): the clauses of the contract that the test checks (helpers/contract/clauses)"
    config.addinivalue_line("markers", clause)
    config.addinivalue_line("markers", "first: the test runs before the subject's other tests")
    config.addinivalue_line("markers", "long: with several workers, the test runs early, so that no worker ends late")
    if touches_suites(config):
        # With --rootdir or -c elsewhere, pytest's node ids would not begin with suites/, nor equal those of other runs.
        config._rootpath = suite_root(config)
    if hasattr(config, "workerinput"):
        # Before the worker opens a file that the controller removes when it ends.
        interrupt.end_at_once(lambda: config.stash[LINEUP].close() if LINEUP in config.stash else None)
    config.stash[LINEUP] = _lineup(config)
    config.stash[WATCHES] = {}
    if hasattr(config, "workerinput"):
        for name in _CHOSEN:
            setattr(config.option, name, config.workerinput[name])
        return
    _handle_signals(config, finished=False)
    folder = config.stash[FOLDER] = reports_folder(config)
    config.option.reports = str(folder)
    if config.getoption("--model-seed") is None:
        config.option.model_seed = random.randrange(1 << 32) if config.getoption("--model-steps") else 0
    if runs_suites(config):
        _check_subjects(config)
    prepare_html(config, folder)
    contract, environment = contract_sentences(), suite(config)
    recorder = Recorder(config, folder, subjects_of(config), contract, judge(config), environment, tier_of(config))
    config.pluginmanager.register(recorder, "hvc-recorder")
    session = recorder.session()
    failures = Failures(config, NodeIds(subjects_of(config)), contract, lambda nodeid: reproduce(session, nodeid))
    config.pluginmanager.register(failures, "hvc-failures")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """The workers start with signals blocked, until they can handle them."""
    interrupt.block()


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart() -> Generator[None, None, None]:
    """Handles signals again after xdist has started its workers."""
    try:
        yield
    finally:
        interrupt.unblock()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Sends the chosen values to xdist's worker, which has only the command line."""
    node.workerinput.update({name: getattr(node.config.option, name) for name in _CHOSEN})


def _handle_signals(config: pytest.Config, *, finished: bool) -> None:
    if not config.getoption("usepdb"):
        interrupt.end_in_order(lambda: _on_interrupt(config), lambda: _write_nowhere(config), finished=finished)


def _turns(config: pytest.Config) -> SharedTurns | None:
    folder = getattr(config, "workerinput", {}).get(TURNS_INPUT)
    try:
        return SharedTurns(Path(folder)) if folder else None
    except FileNotFoundError:
        # The controller has ended, and nobody reads what this worker prints.
        os._exit(VerdictKind.INCONCLUSIVE.status)


def _lineup(config: pytest.Config) -> Lineup:
    mirror = config.getoption(MIRROR_OPTION) or os.environ.get(MIRROR_VARIABLE)
    turns = config.stash[TURNS] = _turns(config)
    means = choose.Means(
        mirror,
        Progress(),
        config.getoption("--boot-deadline"),
        environment_file(config),
        config.getoption("--cold-boot"),
        turns or NoTurns(),
    )
    trace = config.stash[TRACE] = Trace()
    return Lineup(lambda subject_id, warm: Traced(choose.make_subject(subject_id, means, warm), trace))


def _check_subjects(config: pytest.Config) -> None:
    try:
        build.build_all()
        for each in subjects_of(config):
            config.stash[LINEUP].get(each)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except HarnessError as error:
        pytest.exit(f"INCONCLUSIVE: {error}", returncode=3)


def pytest_collection_finish() -> None:
    """The collected tests live until the end of the session: the garbage collector does not visit them again.

    It also runs less often, because a test allocates thousands of objects that need no collector.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distributes the subjects, or the modules of a single one."""
    if config.getoption("dist") != "load":
        return None
    from helpers.plugin.scheduling import ByModule, BySubject

    subjects = subjects_of(config)
    if len(subjects) == 1:
        return ByModule(config, log)
    return BySubject(config, log, subjects, len(config.getoption("tx")))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Keeps the PID of xdist's worker, so that it can be killed."""
    # execnet has no public attribute for the process of a local worker.
    popen = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if popen is not None:
        node.config.stash.setdefault(WORKERS, []).append(popen.pid)


def _on_interrupt(config: pytest.Config) -> None:
    """Kills the workers, because xdist would wait ten seconds for them."""
    config.stash[_INTERRUPTED] = True
    for pid in config.stash.get(WORKERS, []):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _write_nowhere(config: pytest.Config) -> None:
    """Discards further output: the terminal is closed, and a failed write would prevent the reports."""
    # Stays open until the process ends.
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115
    sys.stdout = sys.stderr = nowhere
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal._tw._file = nowhere


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """If a run ends before its tests are collected, reports INCONCLUSIVE instead of pytest's own status 2."""
    status = yield
    if status != pytest.ExitCode.INTERRUPTED or not config.stash.get(_INTERRUPTED, False) or not runs_suites(config):
        return status
    print("INCONCLUSIVE: interrupted before the first test; nothing was measured", file=sys.stderr)
    return VerdictKind.INCONCLUSIVE.status


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """From now on, Ctrl-C kills hanging workers and does not interrupt the reports."""
    _collect_no_garbage()
    if not hasattr(session.config, "workerinput"):
        _handle_signals(session.config, finished=True)


def _collect_no_garbage() -> None:
    """Excludes the present objects from garbage collection: pytest and Python collect at their end.

    That takes half a second for the results of a session, and the end of the process frees them anyway.
    """
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends every virtual machine."""
    _collect_no_garbage()
    if LINEUP in config.stash:
        config.stash[LINEUP].close()
    if environment_file(config):
        lab.let_go(environment_file(config))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """The subjects, the folder of the reports if another session uses theirs, and the model's seed."""
    if not touches_suites(config):
        return []
    # None in a worker of xdist.
    folder = config.stash.get(FOLDER, None)
    moved = folder is not None and folder.name.startswith("session-")
    elsewhere = [f"reports: {folder}, because another session uses their folder"] if moved else []
    seed = [f"model seed: {config.getoption('--model-seed')}"] if config.getoption("--model-steps") else []
    return [f"subjects: {', '.join(each.label for each in subjects_of(config))}", *elsewhere, *seed]
