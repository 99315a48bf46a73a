# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance report OUT... LOG...``: reports from results logs of any run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.command.files import save_report
from helpers.command.parser import WRONG_USAGE, CommandParser
from helpers.errors import HarnessError, UsageError
from helpers.formats import ci
from helpers.formats.html.page import PROOF, document
from helpers.formats.junit import junit
from helpers.formats.kcidb import Origin, kcidb
from helpers.formats.ktap import ktap
from helpers.formats.lava import lava
from helpers.formats.output import STANDARD_OUTPUT, encodable_text
from helpers.results.columns import columns
from helpers.results.log import read_log
from helpers.results.records import Log
from helpers.results.rows import Section, sections_of_all
from helpers.results.verdict import exit_status

_INCONCLUSIVE = 3


def main(arguments: Sequence[str]) -> int:
    """Write the reports and print each verdict. Returns the exit status of the run that wrote the logs."""
    options = _parser().parse_args(arguments)
    try:
        logs = [(name, read_log(Path(name))) for name in options.logs]
        sections = sections_of_all(logs)
        for name, data in _reports(options, sections):
            save_report(name, data)
        if options.html:
            save_report(options.html, _page(options.html, [log for _, log in logs]))
    except UsageError as error:
        return _refuse(error, WRONG_USAGE)
    except HarnessError as error:
        return _refuse(error, _INCONCLUSIVE)
    verdicts = [section.verdict for section in sections]
    for verdict in verdicts:
        print(encodable_text(verdict.line), file=sys.stderr)
    return exit_status(verdicts)


def _page(name: str, logs: Sequence[Log]) -> bytes:
    """The page, which leads to the proof where that lies beside it."""
    proof = name != STANDARD_OUTPUT and (Path(name).parent / PROOF).is_file()
    return document(columns(logs), proof).encode()


def _parser() -> CommandParser:
    parser = CommandParser("report", "Write reports from results logs, and print the verdicts.")
    parser.add_argument("logs", nargs="+", metavar="LOG", help="a results.jsonl; any log version")
    parser.add_argument("--html", metavar="FILE", help="a page of one or several logs, without a script")
    parser.add_argument("--junit", metavar="FILE", help="JUnit XML; - is standard output, as for all others")
    parser.add_argument("--ktap", metavar="FILE", help="KTAP version 1, each subject a test with subtests")
    parser.add_argument("--ktap-flat", metavar="FILE", help="KTAP version 1, one list of tests")
    parser.add_argument("--lava", metavar="FILE", help="what lava-test-case prints, for the console of a job in LAVA")
    _add_kcidb(parser)
    return parser


def _add_kcidb(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("KCIDB")
    group.add_argument("--kcidb", metavar="FILE", help="a submission to KCIDB, schema 5.3")
    for name, variable, what in (
        ("origin", "KCIDB_ORIGIN", "who submits, as KCIDB knows them"),
        ("build", "KCIDB_BUILD_ID", "the kernel's build, where it is in KCIDB already"),
        ("checkout", "KCIDB_CHECKOUT_ID", "the kernel's checkout, where it is in KCIDB already"),
    ):
        default = os.environ.get(variable, "")
        group.add_argument(f"--{name}", metavar="ID", default=default, help=f"{what} (default: ${variable})")
    for name in ("url", "commit", "branch"):
        group.add_argument(f"--git-{name}", metavar="TEXT", default="", help=f"the {name} that the kernel is from")
    help_text = "the job's own checkout is the kernel: take its url, commit and branch"
    group.add_argument("--git-from-ci", action="store_true", help=help_text)


def _reports(options: argparse.Namespace, sections: Sequence[Section]) -> list[tuple[str, bytes]]:
    """Each wanted report and its file; all are made before the first is written."""
    reports = []
    if options.junit:
        reports.append((options.junit, junit(sections)))
    if options.ktap:
        reports.append((options.ktap, ktap(sections).encode()))
    if options.ktap_flat:
        reports.append((options.ktap_flat, ktap(sections, flat=True).encode()))
    if options.lava:
        reports.append((options.lava, lava(sections).encode()))
    if options.kcidb:
        reports.append((options.kcidb, kcidb(sections, _origin(options)).encode()))
    return reports


def _origin(options: argparse.Namespace) -> Origin:
    if not options.origin:
        what = "A submission to KCIDB needs an origin, and none is given"
        raise UsageError(what, cure="Give --origin NAME or set KCIDB_ORIGIN")
    git = {"git_url": options.git_url, "git_commit": options.git_commit, "git_branch": options.git_branch}
    if options.git_from_ci:
        git = {**ci.revision(os.environ), **{name: value for name, value in git.items() if value}}
    return Origin(options.origin, options.build, options.checkout, log_url=ci.log_url(os.environ), **git)


def _refuse(error: HarnessError, status: int) -> int:
    print(encodable_text(f"INCONCLUSIVE: {error}" if status == _INCONCLUSIVE else str(error)), file=sys.stderr)
    return status
