# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance prove``: plants every fault of the catalogue in turn, and checks which tests detect it.

Exit status 0 if a test of each clause that a fault breaks detects it, every provable clause is proved, every test fails
under some fault, and no test fails without one; 1 if not; 3 if that is inconclusive; 4 for wrong usage.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from faults.catalogue import FAULTS, UNPROVABLE
from faults.fault import CONTROL, MAINLINE, RFC_V3
from faults.page import write_page
from faults.proof import Proof, Row, prove
from helpers import build
from helpers.command.parser import WRONG_USAGE, CommandParser
from helpers.contract.clauses import CLAUSES
from helpers.errors import HarnessError, UsageError
from helpers.recording.folder import claim, default_folder, without_session
from helpers.results.log import read_log
from helpers.results.records import Log
from helpers.subjects.choose import Plant

_ROUNDS = 200
"""Rounds of a race in the first run; most faults of races show within them."""
_BETWEEN = 20
"""Faults from one control to the next."""
_QUICK = {
    MAINLINE: (
        "cap-answered", "list-one-twice", "list-fault-errno", "default-empty", "vm-shared", "set-ignored",
        "limit-bit-63", "refused-stores", "lock-missing", "lock-per-vcpu", "lock-same-value", "id-unknown-errno",
        "gate-trng-open", "gate-ptp-shut", "closed-32-bits", "trng-bit-stuck", "ptp-wall-clock",
    ),
    RFC_V3: ("cap-one-more", "cap-on-vm-only", "default-empty", "limit-none", "lock-missing"),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    options.reports = options.reports.absolute()
    began = time.monotonic()
    try:
        claim(_work(options), asked=True)
        logs = [log for dialect in (MAINLINE, RFC_V3) for log in _logs(dialect, options)]
    except UsageError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    except HarnessError as error:
        print(f"INCONCLUSIVE: {error}", file=sys.stderr)
        return 3
    partial = bool(options.quick or options.fault or options.pytest)
    proof = prove(logs, FAULTS, CLAUSES, UNPROVABLE, partial=partial)
    _show(proof)
    write_page(proof, options.reports / "proof.html")
    print(f"{proof.line}, in {time.monotonic() - began:.0f} s; {options.reports / 'proof.html'}")
    return 0 if proof.holds else 1


def _parser() -> CommandParser:
    parser = CommandParser("prove", "Plant every fault of the catalogue, and check that a test detects each one.")
    parser.add_argument("--kernel", default="debian:stable", help="debian:SUITE")
    parser.add_argument("--quick", action="store_true", help="plant only a few faults, and do not run all tests first")
    parser.add_argument("--fault", action="append", default=[], help="plant only this fault; repeatable")
    parser.add_argument("-n", default="2", help="number of virtual machines (default: 2)")
    reports = default_folder(build.ROOT, Path.cwd())
    parser.add_argument("--reports", type=Path, default=reports, metavar="DIR", help="folder for proof.html and logs")
    parser.add_argument("pytest", nargs="*", help="for pytest, after --: paths, -k, --prove-beside, --prove-most")
    return parser


def _work(options: argparse.Namespace) -> Path:
    """The folder of the logs. The command locks it, and each session locks a folder in it."""
    return Path(options.reports) / "proof"


def _selected(dialect: str, options: argparse.Namespace) -> tuple[str, ...]:
    every = tuple(fault.id for fault in FAULTS if dialect in fault.dialects)
    selection = options.fault or (_QUICK[dialect] if options.quick else ())
    return tuple(name for name in every if name in selection) if selection else every


def schedule(faults: Iterable[str], *, whole: bool) -> list[Plant]:
    """The faults with a control after every twentieth and the last; ``whole``: and one of all tests first."""
    order: list[Plant] = [(CONTROL, None)] if whole else []
    number = 0
    for number, name in enumerate(faults, 1):
        order += [(name, None), (CONTROL, number)] if number % _BETWEEN == 0 else [(name, None)]
    return order if number % _BETWEEN == 0 else [*order, (CONTROL, number)]


def _logs(dialect: str, options: argparse.Namespace) -> list[Log]:
    """A first run with some cases of each test, and a second with all cases for the undetected faults."""
    faults = _selected(dialect, options)
    if not faults:
        return []
    first = _run(dialect, schedule(faults, whole=not options.quick), "", options, f"--race-rounds={_ROUNDS}")
    rows = prove([first], FAULTS, CLAUSES, UNPROVABLE, partial=True).rows
    missed = [row.fault for row in rows if row.unseen]
    if not missed:
        return [first]
    more = ["--prove-most=1000000"]
    if not any("RACE-1" in fault.clauses for fault in missed):
        more.append(f"--race-rounds={_ROUNDS}")
    return [first, _run(dialect, schedule((fault.id for fault in missed), whole=False), "-again", options, *more)]


def _run(dialect: str, order: list[Plant], suffix: str, options: argparse.Namespace, *more: str) -> Log:
    folder = _work(options) / f"{dialect}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "results.jsonl"
    with without_session(folder):
        log.unlink(missing_ok=True)
    print(f"planting {len(order)} faults and controls in {options.kernel}, {dialect} dialect", flush=True)
    command = [
        sys.executable, "-m", "pytest", "-p", "faults.plugin", "-p", "no:html", "-p", "no:cacheprovider", "-q",
        "--tb=no", "-n", options.n,
        f"--kernel={options.kernel}", f"--reports={folder}", *map(_option, order),
        *([] if dialect == MAINLINE else [f"--dialect-host={dialect}"]), *more, *options.pytest,
    ]  # fmt: skip
    with (folder / "pytest.txt").open("w") as output:
        done = subprocess.run(command, cwd=build.ROOT, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode == WRONG_USAGE or not log.exists():
        why = f"pytest ended with status {done.returncode}"
        raise HarnessError("Nothing was proved", why=why, cure=f"Read {folder / 'pytest.txt'}")
    return read_log(log)


def _option(plant: Plant) -> str:
    fault, control = plant
    return f"--plant={fault}" if control is None else f"--plant-control={control}"


def _show(proof: Proof) -> None:
    for row in proof.rows:
        print(_line(row))
        for text in row.trouble[:3]:
            print(f"    trouble: {text[:300]}")
        for text in row.unmeasured[:3]:
            print(f"    not measured: {text[:300]}")
    for what, names in (
        ("does not pass without a fault", proof.controls),
        ("not measured without a fault", proof.unmeasured),
        ("no fault makes this test fail", () if proof.partial else proof.blind),
        ("not proved", () if proof.partial else proof.unproved),
    ):
        for name in names:
            print(f"{what}: {name}")
    for clause, why in proof.unprovable.items():
        print(f"cannot be proved with planted faults: {clause}, because {why}")


def _line(row: Row) -> str:
    tests = row.tests
    shown = f"detected by {len(tests)} tests, for example {tests[0]}" if tests else "not detected"
    if row.unseen:
        shown = f"NOT DETECTED by a test of {' or of '.join(row.unseen)}; {shown}"
    beside = f"; failed tests of other clauses: {len(row.beside)}" if row.beside else ""
    return f"{row.name} [{' '.join(row.fault.clauses)}]: {shown}{beside}"
