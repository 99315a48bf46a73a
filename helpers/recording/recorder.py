# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin that writes the results log during the run, and sets the exit status to the verdict's.

It runs in the process that the user started: with xdist that is the controller, never a worker.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Exit

from helpers.errors import HarnessError
from helpers.formats import output
from helpers.formats.html import page
from helpers.formats.html.render import render
from helpers.formats.junit import junit
from helpers.identity import Identity, SubjectId
from helpers.recording import pytest_html as html
from helpers.recording.phases import NOT_RUN, message_of, outcome_of, properties, result_of, subject_info
from helpers.recording.selection import is_suite, only_shows, selection, tier_option, touches_suites
from helpers.results.columns import columns
from helpers.results.gate import Gate, gate
from helpers.results.log import LogWriter, read_log
from helpers.results.nodeids import NodeIds
from helpers.results.records import ERROR, FAILED, VERSION, Case, Contract, Log, Result, Session, SubjectInfo, Tier
from helpers.results.rows import sections
from helpers.results.verdict import Verdict, VerdictKind, exit_status, one_line, verdicts

_COLOURS = {
    VerdictKind.CONFORMANT: "green",
    VerdictKind.NON_CONFORMANT: "red",
    VerdictKind.INCONCLUSIVE: "yellow",
    VerdictKind.NOT_IMPLEMENTED: "cyan",
    VerdictKind.NEWER: "yellow",
}

MOST_LINES = 20
"""The most lines of each section at the end of the terminal's summary."""


class Inconclusive(Exit):
    """Ends a session whose only subject cannot be tested; exit status 3."""

    def __init__(self, subject: SubjectId, error: HarnessError) -> None:
        super().__init__(f"INCONCLUSIVE {subject.label}: {error}", returncode=VerdictKind.INCONCLUSIVE.status)
        self.reason = str(error)
        """The error without the subject, because the verdict's line begins with the subject."""


class Recorder:
    """Records a run of the suites in ``reports_dir``. It does nothing if the session runs no test of the suites."""

    def __init__(
        self,
        config: pytest.Config,
        reports_dir: Path,
        subjects: tuple[SubjectId, ...],
        contract: Contract | None = None,
        judge: Callable[[Log], Gate] | None = None,
        environment: Mapping[str, str] | None = None,
        tier: Callable[[], Tier | None] = lambda: None,
    ) -> None:
        self._config = config
        self._folder = reports_dir
        self._subjects = subjects
        self._node_ids = NodeIds(subjects)
        self._contract = contract or Contract()
        self._gate_of = judge
        self._environment = environment or {}
        self._tier = tier
        self._dormant = only_shows(config)
        self._writer: LogWriter | None = None
        self._collected: set[str] = set()
        self._foreign = False
        self._foreign_failed = False
        self._phases: dict[tuple[str, str], list[pytest.TestReport]] = defaultdict(list)
        self._infos: dict[tuple[Identity, str], SubjectInfo] = {}
        self._no_run = False
        self._concluded = False
        self._log: Log | None = None
        self._verdicts: tuple[Verdict, ...] = ()
        self._error: HarnessError | None = None
        self._reason = ""
        self._session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep the session, which ends when the log cannot be written."""
        self._session = session

    # Collection

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist: record the tests that will run."""
        # In xdist's controller the list of items is always empty.
        if not self._config.pluginmanager.has_plugin("dsession"):
            self._collect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        """With xdist: record the tests from each worker, and from each replacement of a dead worker."""
        del node
        self._collect(ids)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record an error for a file that cannot be imported, because its tests are missing."""
        if not report.failed:
            return
        if is_suite(report.nodeid):
            error = Result(report.nodeid, None, ERROR, message=message_of(report))
            self._write(lambda log: log.result(error))
        else:
            self._foreign = self._foreign_failed = True

    # Tests

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write the start. A test without a later result was running when the run ended."""
        if is_suite(nodeid):
            case = Case(nodeid, self._node_ids.subject_of(nodeid))
            self._write(lambda log: log.start(case))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the report of a phase. After the last phase, write the result."""
        if not is_suite(report.nodeid):
            self._foreign_failed |= report.failed
            return
        self._inform(report)
        reason = properties(report).get(NOT_RUN)
        if reason:
            case = Case(report.nodeid, self._node_ids.subject_of(report.nodeid))
            self._write(lambda log: log.collected([case], reason))
            return
        # With --dist each several workers run the same test at the same time.
        phases = self._phases[report.nodeid, _worker(report)]
        phases.append(report)
        if report.when in ("setup", "call"):
            return
        self._write_result(phases)
        phases.clear()

    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        """Count a test that the suite did not run separately from pytest's errors: hundreds may have the same text."""
        not_run = isinstance(report, pytest.TestReport) and NOT_RUN in properties(report)
        return ("not run", "n", "NOT RUN") if not_run else None

    # The end

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep the reason of pytest.exit, because pytest uses the same status for other causes."""
        if isinstance(excinfo.value, pytest.exit.Exception):
            text = getattr(excinfo.value, "reason", str(excinfo.value.msg))
            self._reason = (text.splitlines() or [""])[0]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Replace the exit status by the verdict's. As the innermost wrapper, only the terminal's hook runs later."""
        pytest_status = session.exitstatus
        self._no_run = self._is_no_run(pytest_status)
        try:
            with html.without_report(self._config) if self._no_run else nullcontext():
                yield
        except OSError as error:
            # If pytest-html fails on a full disk, the verdict is still printed.
            why = error.strerror or str(error)
            self._fail(HarnessError(f"The reports in {self._folder} cannot be written", why=why))
        self._conclude(pytest_status)
        gated = self._gate()
        if self._error is not None:
            session.exitstatus = VerdictKind.INCONCLUSIVE.status
        elif self._verdicts:
            status = gated.status if gated else exit_status(self._verdicts)
            session.exitstatus = status or int(self._foreign_failed)
        elif gated and pytest_status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = gated.status

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the reasons of tests that were not run, and the notes, each once."""
        for title, lines in (
            ("not run", [line for each in self._verdicts if each.not_run_reasons for line in each.not_run_lines]),
            ("notes", [f"{each.subject.label}: {line}" for each in self._verdicts for line in each.note_lines]),
        ):
            if lines:
                terminalreporter.write_sep("=", title)
            for line in lines[:MOST_LINES]:
                terminalreporter.write_line(_printable(line))
            if len(lines) > MOST_LINES:
                terminalreporter.write_line(f"... and {len(lines) - MOST_LINES} more")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Print the verdicts as the last lines on the terminal, one for each subject, also with -q and -n."""
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        if self._error is not None:
            terminal.ensure_newline()
            terminal.write_line(_printable(f"INCONCLUSIVE: {self._error}"), yellow=True, bold=True)
            return
        if self._no_run and html.is_on(self._config):
            terminal.write_line("No test of suites/ was run: the reports are unchanged.")
        for verdict in self._verdicts:
            terminal.ensure_newline()
            terminal.write_line(_printable(verdict.line), bold=True, **{_COLOURS[verdict.kind]: True})
        gated = self._gate()
        for line in gated.lines if gated else ():
            terminal.write_line(_printable(line), bold=True)

    def _gate(self) -> Gate | None:
        """The result of the gate, if one is required. A run without tests of the suites does not pass."""
        if self._gate_of is None or self._dormant or self._error is not None:
            return None
        return self._gate_of(self._log) if self._log else gate((), (), None, date.min)

    # The HTML report

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        report.title = page.TITLE

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        # pytest-html's column of links is removed.
        cells[:] = render("pytest_html_head.html.jinja2").splitlines()

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        html.table_row(report, cells, shortened=self._shortened)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        html.row_details(report, data)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_html_results_summary(self, prefix: list[str], session: pytest.Session) -> None:
        self._conclude(session.exitstatus)
        of_log = columns([self._log]) if self._log else ()
        proof = (Path(self._config.option.htmlpath).parent / page.PROOF).is_file()
        prefix.append(page.pytest_html_part(of_log, proof, self._shortened))

    @property
    def _shortened(self) -> bool:
        return len(self._collected) > html.MOST_ROWS

    # Helpers

    def _collect(self, nodeids: Iterable[str]) -> None:
        ids = list(nodeids)
        mine = [nodeid for nodeid in ids if is_suite(nodeid)]
        self._foreign |= len(mine) < len(ids)
        new = [nodeid for nodeid in dict.fromkeys(mine) if nodeid not in self._collected]
        self._collected.update(new)
        if new:
            cases = [Case(nodeid, self._node_ids.subject_of(nodeid)) for nodeid in new]
            self._write(lambda log: log.collected(cases))

    def _inform(self, report: pytest.TestReport) -> None:
        info = subject_info(report)
        if info is None:
            return
        # One entry for each worker: their boot times differ, so a shared entry would change with almost every test.
        source = info.subject, _worker(report)
        if self._infos.get(source) != info:
            self._infos[source] = info
            self._write(lambda log: log.subject(info))

    def _write(self, write: Callable[[LogWriter], None]) -> None:
        """Write to the log. The first record creates the file."""
        if self._dormant or self._error is not None:
            return
        try:
            if self._writer is None:
                self._writer = self._begin()
            write(self._writer)
        except HarnessError as error:
            self._fail(error)

    def session(self) -> Session:
        """A session record with the current time."""
        argv = tuple(str(arg) for arg in self._config.invocation_params.args)
        # --strict is pytest's own option, for its own strict mode.
        strict = bool(self._config.getini("strict"))
        return Session(VERSION, argv, self._subjects, time.time(), self._environment, strict)

    def _begin(self) -> LogWriter:
        writer = LogWriter(self._folder / "results.jsonl")
        writer.session(self.session())
        writer.contract(self._contract)
        writer.selection(selection(self._config))
        return writer

    def _fail(self, error: HarnessError) -> None:
        self._error = self._error or error
        # Stop the run, because the results of further tests would be lost.
        loops: tuple[Any, ...] = (self._session, self._config.pluginmanager.get_plugin("dsession"))
        for loop in loops:
            if loop is not None:
                loop.shouldstop = error.what

    def _conclude(self, pytest_status: int) -> None:
        """End the log and read it back, because the verdict is computed from the file."""
        if self._concluded or self._dormant:
            return
        self._concluded = True
        if self._is_no_run(pytest_status):
            return
        self._write_rest()
        text, tier = selection(self._config), self._tier()
        only_tier = tier is not None and tier.complete and text == tier_option(tier.name)
        self._write(lambda log: log.selection(text, tier if only_tier else None))
        self._write(lambda log: log.end(int(pytest_status), self._reason))
        if self._writer is not None:
            self._writer.close()
        if self._error is None:
            self._judge(self._folder / "results.jsonl")

    def _is_no_run(self, pytest_status: int) -> bool:
        """Whether the session was not a run of the suites. A run that selects none of their tests is a run."""
        other = self._foreign or pytest_status == pytest.ExitCode.USAGE_ERROR or not touches_suites(self._config)
        return self._writer is None and other

    def _write_rest(self) -> None:
        """Write the results of interrupted tests that failed before their teardown."""
        for phases in self._phases.values():
            if any(outcome_of(report) in (ERROR, FAILED) for report in phases):
                self._write_result(phases)

    def _write_result(self, phases: list[pytest.TestReport]) -> None:
        result = result_of(phases, self._node_ids)
        if result is not None:
            self._write(lambda log: log.result(result))

    def _judge(self, path: Path) -> None:
        try:
            self._log = read_log(path)
            self._verdicts = verdicts(self._log)
            output.write(str(self._folder / "junit.xml"), junit(sections(self._log)))
        except HarnessError as error:
            self._fail(error)


def _worker(report: pytest.TestReport) -> str:
    # The report of a test that killed its worker has the attribute node, but no worker_id.
    gateway = getattr(getattr(report, "node", None), "gateway", None)
    return str(getattr(gateway, "id", ""))


def _printable(text: str) -> str:
    return output.encodable_text(one_line(text), sys.stdout)
