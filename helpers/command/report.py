# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance report OUT... LOG...``: writes reports from results logs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from helpers.command import fleet
from helpers.command.files import check_inputs, input_label, load_log, save_report
from helpers.command.parser import PROGRAM, WRONG_USAGE, CommandParser
from helpers.errors import HarnessError, UsageError
from helpers.formats import ci
from helpers.formats.html.page import PROOF, document
from helpers.formats.junit import junit
from helpers.formats.kcidb import Origin, kcidb
from helpers.formats.ktap import ktap
from helpers.formats.lava import lava
from helpers.formats.output import STANDARD_OUTPUT, encodable_text
from helpers.results.baseline import service_name
from helpers.results.columns import columns
from helpers.results.records import Log, SubjectInfo
from helpers.results.rows import Section, sections_of_all
from helpers.results.verdict import VerdictKind, exit_status

_EPILOG = f"""exit status: that of a run with these verdicts, or 4 for wrong usage

{PROGRAM} report {fleet.NAME} LOG... prints the settings with which VMs migrate between hosts.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the reports and print each verdict. Returns the exit status of a run with these results."""
    if arguments[:1] == [fleet.NAME]:
        return fleet.main(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        check_inputs(options.logs)
        logs = [(input_label(name), _judged(load_log(name), options)) for name in options.logs]
        sections = sections_of_all(logs)
        for name, data in _reports(options, sections):
            save_report(name, data)
        if options.html:
            save_report(options.html, _page(options.html, [log for _, log in logs]))
    except UsageError as error:
        _print(str(error))
        return WRONG_USAGE
    except HarnessError as error:
        _print(f"INCONCLUSIVE: {error}")
        return VerdictKind.INCONCLUSIVE.status
    verdicts = [section.verdict for section in sections]
    for verdict in verdicts:
        _print(verdict.line)
    return exit_status(verdicts)


def _judged(log: Log, options: argparse.Namespace) -> Log:
    """The log, as if the run had had --strict and --accept-unknown of ``options``."""
    session = replace(log.session, strict=log.session.strict or options.strict)
    subjects = tuple(_accepting(info, options.accept_unknown) for info in log.subjects)
    return replace(log, session=session, subjects=subjects)


def _accepting(info: SubjectInfo, accepted: Sequence[str]) -> SubjectInfo:
    unknown = (replace(each, accepted=each.accepted or each.name in accepted) for each in info.unknown)
    return replace(info, unknown=tuple(unknown))


def _print(line: str) -> None:
    print(encodable_text(line, sys.stderr), file=sys.stderr)


def _page(name: str, logs: Sequence[Log]) -> bytes:
    """The HTML page, with a link to the proof if proof.html is in the same folder."""
    proof = name != STANDARD_OUTPUT and (Path(name).parent / PROOF).is_file()
    return document(columns(logs), proof).encode()


def _parser() -> CommandParser:
    description = "Write reports from results logs, and print the verdicts."
    parser = CommandParser("report", description, _EPILOG)
    parser.add_argument("logs", nargs="+", metavar="LOG", help="results.jsonl, of any version; - is standard input")
    strict = "INCONCLUSIVE if a test was not measured, as in a run with --strict"
    parser.add_argument("--strict", action="store_true", help=strict)
    parser.add_argument(
        "--accept-unknown",
        action="append",
        type=service_name,
        default=[],
        metavar="NAME",
        help="accept a kernel that has the unknown service NAME, as a run with this option; repeatable",
    )
    parser.add_argument("--html", metavar="FILE", help="one HTML page of all logs, without scripts")
    parser.add_argument("--junit", metavar="FILE", help="JUnit XML; - is standard output, for every format")
    parser.add_argument("--ktap", metavar="FILE", help="KTAP version 1, each subject a test with subtests")
    parser.add_argument("--ktap-flat", metavar="FILE", help="KTAP version 1, one list of tests")
    parser.add_argument("--lava", metavar="FILE", help="the output of lava-test-case, for the console of a LAVA job")
    _add_kcidb(parser)
    return parser


def _add_kcidb(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("KCIDB")
    group.add_argument("--kcidb", metavar="FILE", help="a submission to KCIDB, schema 5.3")
    for name, variable, what in (
        ("origin", "KCIDB_ORIGIN", "the submitter's name in KCIDB"),
        ("build", "KCIDB_BUILD_ID", "the kernel's build, if it is already in KCIDB"),
        ("checkout", "KCIDB_CHECKOUT_ID", "the kernel's checkout, if it is already in KCIDB"),
    ):
        default = os.environ.get(variable, "")
        group.add_argument(f"--{name}", metavar="ID", default=default, help=f"{what} (default: ${variable})")
    for name in ("url", "commit", "branch"):
        group.add_argument(f"--git-{name}", metavar="TEXT", default="", help=f"the {name} of the kernel's source")
    help_text = "use the URL, commit and branch of the CI job's checkout, which must be the kernel's source"
    group.add_argument("--git-from-ci", action="store_true", help=help_text)


def _reports(options: argparse.Namespace, sections: Sequence[Section]) -> list[tuple[str, bytes]]:
    """The files and their reports. All reports are complete before the first one is written."""
    makers: tuple[tuple[str | None, Callable[[], str]], ...] = (
        (options.junit, lambda: junit(sections).decode()),
        (options.ktap, lambda: ktap(sections)),
        (options.ktap_flat, lambda: ktap(sections, flat=True)),
        (options.lava, lambda: lava(sections)),
        (options.kcidb, lambda: kcidb(sections, _origin(options))),
    )
    return [(name, make().encode()) for name, make in makers if name]


def _origin(options: argparse.Namespace) -> Origin:
    if not options.origin:
        raise UsageError("A submission to KCIDB needs an origin", cure="Give --origin NAME or set KCIDB_ORIGIN")
    git = {"git_url": options.git_url, "git_commit": options.git_commit, "git_branch": options.git_branch}
    if options.git_from_ci:
        git = {**ci.revision(os.environ), **{name: value for name, value in git.items() if value}}
    return Origin(options.origin, options.build, options.checkout, log_url=ci.log_url(os.environ), **git)
