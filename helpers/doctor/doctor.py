# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance doctor``: checks the machine line by line, and prints what is missing and what works."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers.command.parser import PROGRAM, CommandParser
from helpers.doctor.diagnosis import Condition, Diagnosis
from helpers.doctor.python import python_packages, python_version

CANNOT_RUN = 3
"""The status of a run on this machine, which would be INCONCLUSIVE."""
_EPILOG = """Each line is ok, warning (a run is possible) or MISSING (runs that need it are not possible). A line that
begins with "->" is the command that mends the problem above it.

exit status:
  0  a run without options can start on this machine
  3  it cannot
  4  wrong usage
"""
_WORDS = {Condition.OK: "ok", Condition.WARNING: "warning", Condition.MISSING: "MISSING"}
_WIDTHS = (9, 23)
"""The widths of the first two columns in characters."""


def main(arguments: Sequence[str]) -> int:
    """Print the checks. Returns one of the statuses above."""
    options = _parser().parse_args(arguments)
    packages = python_packages()
    for each in (python_version(), packages):
        _show(each)
    if packages.is_missing:
        print("\nThe other checks need these packages.")
        return CANNOT_RUN
    return _examine(options.debian_mirror)


def _examine(mirror: str | None) -> int:
    # Imported here, because these modules import the packages that the earlier checks are for.
    from helpers.doctor.examine import default_use, examine, uses
    from helpers.subjects.apt import MIRROR_VARIABLE

    diagnoses = list(_shown(examine(mirror or os.environ.get(MIRROR_VARIABLE))))
    program = _program()
    print("\nOn this machine you can test:")
    for use in uses():
        problems = use.problems(diagnoses)
        print(f"  {'no ' if problems else 'yes'}  {use.name}: {program} {use.example}")
        if problems:
            print(f"       missing: {', '.join(problems)}")
    default = default_use()
    problems = default.problems(diagnoses)
    print(f"\nA run without options tests {default.name}. It {'cannot start here' if problems else 'can start'}.")
    return CANNOT_RUN if problems else 0


def _program() -> str:
    """The program as it can be typed in the working directory. The one of a .venv is usually not on PATH."""
    path = Path(sys.executable).with_name(PROGRAM)
    if not path.exists() or shutil.which(PROGRAM) == str(path):
        return PROGRAM
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _shown(diagnoses: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
    """The same diagnoses. Prints each one immediately."""
    for each in diagnoses:
        _show(each)
        yield each


def _show(diagnosis: Diagnosis) -> None:
    first, second = _WIDTHS
    detail = " ".join(diagnosis.detail.split())
    print(f"{_WORDS[diagnosis.condition]:{first}}{diagnosis.name:{second}}{detail}")
    if diagnosis.cure:
        print(f"{'':{first + second}}-> {' '.join(diagnosis.cure.split())}", flush=True)


def _parser() -> CommandParser:
    parser = CommandParser("doctor", "Check whether this machine can run the suite.", _EPILOG)
    help_text = "check this mirror (default: $KVM_HVC_DEBIAN_MIRROR, or the mirror of this machine's apt)"
    parser.add_argument("--debian-mirror", metavar="URL", help=help_text)
    return parser
