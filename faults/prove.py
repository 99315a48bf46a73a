# SPDX-License-Identifier: GPL-2.0-only
"""``kvm-hvc-conformance prove``: plants each fault and benign variant of the catalogues, and checks the results.

With ``--tier-from`` it plants nothing, and writes the list of the gate tier (helpers/contract/tiers.py).

The tests that the gate tier names for a fault run first. Once a fault is detected, the test functions that have failed
under some fault are left out.

Exit status: 0 if a test of each clause that a fault breaks detects the fault, every provable clause is proved, every
test fails under some fault, no test fails without a fault, and every variant gets its correct verdict; 1 if one of
these is wrong; 3 if the proof is inconclusive; 4 for wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from faults.catalogue import FAULTS, UNPROVABLE
from faults.collection import collected_tests
from faults.fault import CONTROL, MAINLINE, RFC_V3
from faults.page import write_page
from faults.progress import ProofProgress
from faults.proof import Proof, Row, prove
from faults.tier import choose_tier, control_seconds, read_proofs, tier_text
from faults.trial import MET_FILE, Trial
from faults.variants import VARIANTS
from helpers import build
from helpers.command.parser import WRONG_USAGE, CommandParser
from helpers.contract.clauses import CLAUSES
from helpers.contract.tiers import TIER_FILE, read_tier
from helpers.errors import HarnessError, UsageError
from helpers.progress import Progress
from helpers.recording.folder import claim, default_folder, without_session
from helpers.results.log import read_log
from helpers.results.records import Log
from helpers.results.verdict import many
from helpers.subjects.choose import Plant

_EPILOG = """docs/trust.md describes the proof. faults/catalogue.py has the faults, faults/variants.py the variants.

exit status:
  0  the suite detects every fault that was planted, and accepts every variant
  1  it does not
  3  inconclusive
  4  wrong usage
"""
_ROUNDS = 200
"""Rounds of a race in the first session. They suffice to detect most faults of races."""
_END_SECONDS = 20
"""Seconds that pytest has to end after Ctrl-C."""
_NO_TESTS_COLLECTED = 5
"""An exit status of pytest."""
_BETWEEN = 20
"""Number of faults between two controls."""
_QUICK = {
    MAINLINE: (
        "cap-answered", "list-one-twice", "list-fault-errno", "default-empty", "vm-shared", "set-ignored",
        "limit-bit-63", "refused-stores", "lock-missing", "lock-per-vcpu", "lock-same-value", "id-unknown-errno",
        "gate-trng-open", "gate-ptp-shut", "closed-32-bits", "trng-bit-stuck", "ptp-wall-clock",
    ),
    RFC_V3: ("cap-one-more", "cap-on-vm-only", "default-empty", "limit-none", "lock-missing"),
}  # fmt: skip
_QUICK_VARIANTS = ("ccsidr-refused", "no-gicv3-device", "no-pmu")


class _Session(NamedTuple):
    """A session's log, and how many calls each of its variants affected."""

    log: Log
    met: Mapping[str, int]


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.tier_from:
        return _write_tier(options.tier_from)
    wrong = _wrong_names(options)
    if wrong:
        print(wrong, file=sys.stderr)
        return WRONG_USAGE
    options.reports = options.reports.absolute()
    began = time.monotonic()
    try:
        claim(_work(options), asked=True)
        sessions = [session for dialect in (MAINLINE, RFC_V3) for session in _sessions(dialect, options)]
    except UsageError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    except (HarnessError, KeyboardInterrupt) as error:
        print(f"INCONCLUSIVE: {str(error) or 'the proof was interrupted'}", file=sys.stderr)
        return 3
    partial = bool(options.quick or options.fault or options.variant or options.pytest)
    logs, met = [each.log for each in sessions], {name: n for each in sessions for name, n in each.met.items()}
    proof = prove(logs, FAULTS, CLAUSES, UNPROVABLE, partial=partial, variants=VARIANTS, met=met)
    _show(proof)
    write_page(proof, options.reports / "proof.html")
    print(f"{proof.line}, in {time.monotonic() - began:.0f} s; {options.reports / 'proof.html'}")
    return 0 if proof.holds else 1


def _wrong_names(options: argparse.Namespace) -> str:
    """The error for names of no fault or variant, and for names without their option; "" without one."""
    faults, variants = {fault.id for fault in FAULTS}, {variant.id for variant in VARIANTS}
    unknown = {*options.fault, *options.variant} - faults - variants
    if unknown:
        return f"Unknown: {', '.join(sorted(unknown))}. See faults/of_*.py and faults/variants.py"
    bare = [name for name in options.pytest if name in faults | variants]
    words = " ".join(f"--{'fault' if name in faults else 'variant'} {name}" for name in bare)
    return f"A fault or variant is given with an option: {words}" if bare else ""


def _parser() -> CommandParser:
    summary = "Plant every fault and every benign variant. Check that tests detect the faults and accept the variants."
    parser = CommandParser("prove", summary, _EPILOG)
    parser.add_argument("--kernel", default="debian:stable", help="debian:SUITE (default: debian:stable)")
    parser.add_argument("--quick", action="store_true", help="plant only a few faults and variants")
    parser.add_argument(
        "--every-test", action="store_true",
        help="run all tests of each fault's clauses, also after a test of each clause has detected the fault",
    )  # fmt: skip
    parser.add_argument("--fault", action="append", default=[], help="plant only this fault; repeatable")
    parser.add_argument("--variant", action="append", default=[], help="plant only this benign variant; repeatable")
    parser.add_argument("-n", default="2", help="number of virtual machines (default: 2)")
    reports = default_folder(build.ROOT, Path.cwd())
    text = "folder for proof.html and logs (default: reports)"
    parser.add_argument("--reports", type=Path, default=reports, metavar="DIR", help=text)
    parser.add_argument(
        "--tier-from", type=Path, action="append", default=[], metavar="DIR",
        help="plant nothing; choose the tests of --tier gate from the log of the proof in DIR; repeatable",
    )  # fmt: skip
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --, such as -k lock")
    return parser


def _write_tier(folders: Sequence[Path]) -> int:
    try:
        tests, logs = collected_tests(), read_proofs(folders)
        tables = choose_tier(logs, FAULTS, CLAUSES, tests)
        TIER_FILE.write_text(tier_text(tables), "utf-8")
        tier = read_tier()
    except UsageError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    except (HarnessError, OSError) as error:
        print(f"INCONCLUSIVE: {error}", file=sys.stderr)
        return 3
    clauses = {clause for test in tier.tests for clause in tests[test].clauses}
    rows = sum(map(len, tier.faults.values()))
    seconds = control_seconds(logs)
    part, whole = (sum(seconds.get(test, 0) for test in some) for some in (tier.tests, tests))
    counts = f"{len(clauses)} clauses, {rows} planted faults, {len(tier.tests)} of {len(tests)} tests"
    print(f"{TIER_FILE}: {counts}, {part:.1f} of {whole:.1f} s without a fault")
    return 0


def _work(options: argparse.Namespace) -> Path:
    """The folder for the sessions' logs. The command locks it, and each session locks its own folder inside."""
    return Path(options.reports) / "proof"


def _selected(dialect: str, options: argparse.Namespace) -> tuple[str, ...]:
    every = tuple(fault.id for fault in FAULTS if dialect in fault.dialects)
    if options.fault or options.variant:
        return tuple(name for name in every if name in options.fault)
    return tuple(name for name in every if name in _QUICK[dialect]) if options.quick else every


def _selected_variants(dialect: str, options: argparse.Namespace) -> dict[str, list[str]]:
    """The ids of the variants by the QEMU arguments that they need. They are planted in mainline's dialect only."""
    selection = options.variant if options.fault or options.variant else _QUICK_VARIANTS if options.quick else None
    hosts: dict[str, list[str]] = defaultdict(list)
    for variant in VARIANTS:
        if dialect == MAINLINE and (selection is None or variant.id in selection):
            hosts[variant.qemu].append(variant.id)
    return hosts


def schedule(faults: Iterable[str], *, whole: bool, variants: Iterable[str] = ()) -> list[Plant]:
    """The order of the faults, with a control after every twentieth and the last. ``whole``: all tests run first as a
    control.

    Variants run many tests each. They come first, so that all workers are busy until the end.
    """
    order: list[Plant] = [(CONTROL, None)] if whole else []
    order += [(name, None) for name in variants]
    number = 0
    for number, name in enumerate(faults, 1):
        order += [(name, None), (CONTROL, number)] if number % _BETWEEN == 0 else [(name, None)]
    return order if number % _BETWEEN == 0 else [*order, (CONTROL, number)]


def _sessions(dialect: str, options: argparse.Namespace) -> list[_Session]:
    """A first session with some cases of each test, and a second with all cases for the undetected faults.

    Variants that need other arguments of QEMU run between the two, in one session for each set of arguments.
    """
    faults, hosts = _selected(dialect, options), _selected_variants(dialect, options)
    plain, rounds = hosts.pop("", []), f"--race-rounds={_ROUNDS}"
    every = ["--prove-every"] if options.every_test else []
    sessions = []
    if faults or plain:
        order = schedule(faults, whole=not options.quick, variants=plain)
        sessions.append(_run(dialect, order, "", options, rounds, *every))
    for number, (qemu, names) in enumerate(hosts.items(), 1):
        order = schedule((), whole=False, variants=names)
        sessions.append(_run(dialect, order, f"-host-{number}", options, rounds, f"--qemu-args={qemu}"))
    rows = prove([each.log for each in sessions], FAULTS, CLAUSES, UNPROVABLE, partial=True).rows
    missed = [row.fault for row in rows if row.unseen]
    if not missed:
        return sessions
    more = ["--prove-most=1000000", "--prove-every"]
    if not any("RACE-1" in fault.clauses for fault in missed):
        more.append(rounds)
    order = schedule((fault.id for fault in missed), whole=False)
    return [*sessions, _run(dialect, order, "-again", options, *more)]


def _run(dialect: str, order: list[Plant], suffix: str, options: argparse.Namespace, *more: str) -> _Session:
    folder = _work(options) / f"{dialect}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    log, met = folder / "results.jsonl", folder / MET_FILE
    with without_session(folder):
        log.unlink(missing_ok=True)
        met.unlink(missing_ok=True)
    print(f"planting {len(order)} faults, variants and controls in {options.kernel}, {dialect} dialect", flush=True)
    command = [
        sys.executable, "-m", "pytest", "-p", "faults.plugin", "-p", "no:html", "-p", "no:cacheprovider", "-q",
        "--tb=no", "-n", options.n,
        f"--kernel={options.kernel}", f"--reports={folder}", *map(_option, order),
        *([] if dialect == MAINLINE else [f"--dialect-host={dialect}"]), *more, *options.pytest,
    ]  # fmt: skip
    with (folder / "pytest.txt").open("w") as output, Progress().renewing(ProofProgress(log).line):
        status = _status(subprocess.Popen(command, cwd=build.ROOT, stdout=output, stderr=subprocess.STDOUT))
    if status == _NO_TESTS_COLLECTED:
        why = f"the arguments of pytest are {shlex.join(options.pytest) or 'empty'}"
        raise UsageError("No test of the faults' clauses is selected", why=why, cure="Select other tests after --")
    if status == WRONG_USAGE or not log.exists():
        why = f"pytest ended with status {status}"
        raise HarnessError("The session with planted faults failed", why=why, cure=f"Read {folder / 'pytest.txt'}")
    return _Session(read_log(log), json.loads(met.read_text("utf-8")) if met.exists() else {})


def _status(process: subprocess.Popen[bytes]) -> int:
    """The exit status of pytest. After Ctrl-C, waits until pytest has ended its machines."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        # A terminal sends Ctrl-C to pytest too. kill(1) does not.
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        raise
    finally:
        process.kill()


def _option(plant: Plant) -> str:
    fault, control = plant
    return f"--plant={fault}" if control is None else f"--plant-control={control}"


def _show(proof: Proof) -> None:
    for trial in proof.trials:
        print(trial_line(trial))
        for text in trial.alarms[:3]:
            print(f"    false alarm: {text}")
        for text in trial.unmeasured[:3]:
            print(f"    not measured: {text}")
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


def trial_line(trial: Trial) -> str:
    """A variant and its verdict as a line."""
    counts = f"{trial.verdict.kind.value}, {trial.verdict.counted}; met by {trial.met} calls"
    word = "accepted" if trial.accepted else f"FALSE ALARM ({len(trial.alarms)})" if trial.alarms else "NOT MET"
    return f"{trial.variant.id}: {word}; {counts}"


def _line(row: Row) -> str:
    tests = row.tests
    shown = f"detected by {many(len(tests), 'test')}, for example {tests[0]}" if tests else "not detected"
    if row.unseen:
        shown = f"NOT DETECTED by a test of {' or of '.join(row.unseen)}; {shown}"
    beside = f"; failed tests of other clauses: {len(row.beside)}" if row.beside else ""
    return f"{row.name} [{' '.join(row.fault.clauses)}]: {shown}{beside}"
