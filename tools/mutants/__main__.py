# SPDX-License-Identifier: GPL-2.0-only
"""The command: fetch and build the kernel of all mutants, run the suite on some, and write docs/mutants.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError
from tools.mutants.campaign import UNMUTATED, MutantResult, Part, kept_results, run_campaign
from tools.mutants.catalogue import BY_KIND, MUTANTS
from tools.mutants.kernel import build_kernel, check_build_tools, fetch_source
from tools.mutants.mutant import Kind
from tools.mutants.page import write_mutants_page

_SESSION_SECONDS = 40
"""No session starts if fewer seconds are left."""
_WORDS = {Part.ALL: "all tests", Part.GATE: "gate tier", Part.GATE_WITHOUT_RACES: "gate tier without races"}
_CONFORMANT = {UNMUTATED, *(each.id for each in BY_KIND[Kind.EQUIVALENT])}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 3 if something could not be fetched, built or run."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("action", choices=["build", "run", "page"])
    parser.add_argument("mutant", nargs="*", help=f"for run: ids, or {UNMUTATED} (default: all without a result)")
    parser.add_argument("--suite", default="stable", help="Debian suite of the source (default: stable)")
    parser.add_argument("--work", type=Path, help="folder for the source, the kernel and the logs")
    parser.add_argument("-n", default="2", metavar="N", help="number of virtual machines (default: 2)")
    parser.add_argument("--most", type=int, default=12, metavar="N", help="mutants in one session (default: 12)")
    parser.add_argument("--seconds", type=float, help="stop after this many seconds")
    parser.add_argument("--quick", action="store_true", help="run only the gate tier")
    parser.add_argument("--kind", type=Kind, action="append", default=[], help=f"only this kind: {', '.join(Kind)}")
    parser.add_argument("--whole", action="store_true", help="do not stop at the first failure")
    options = parser.parse_intermixed_args(arguments)
    folder = (options.work or build.OUTPUT / "mutants" / options.suite).absolute()
    try:
        _ACTIONS[options.action](folder, options)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


def _build(folder: Path, options: argparse.Namespace) -> None:
    check_build_tools()
    fetch_source(folder, options.suite)
    reasons = build_kernel(folder, MUTANTS)
    print(f"{len(MUTANTS) - len(reasons)} of {len(MUTANTS)} mutants are in the kernel")
    for name, reason in reasons.items():
        print(f"{name}: {reason}")


def _run(folder: Path, options: argparse.Namespace) -> None:
    kept = kept_results(folder)
    todo = options.mutant or [name for name in _in_turn(options.kind) if _is_wanted(kept.get(name), options.quick)]
    end = time.monotonic() + (options.seconds or float("inf"))
    # The gate tier detects most of them in a fraction of the time.
    first = [] if options.whole else [name for name in todo if _begins_with_gate(name, kept, options)]
    missed: list[str] = []
    for names in _chunks(first, options.most, end):
        missed += _session(folder, names, Part.GATE if options.quick else Part.GATE_WITHOUT_RACES, options, end)
    if not options.quick:
        missed += [name for name in todo if name not in first]
        for names in _chunks(missed, options.most, end):
            _session(folder, names, Part.ALL, options, end)


def _chunks(names: Sequence[str], most: int, end: float) -> Iterator[Sequence[str]]:
    """The mutants of each session, until there is no time for another one."""
    for start in range(0, len(names), most):
        if end - time.monotonic() <= _SESSION_SECONDS:
            return
        yield names[start : start + most]


def _begins_with_gate(name: str, kept: Mapping[str, MutantResult], options: argparse.Namespace) -> bool:
    """Whether the gate tier can save time: not if it has missed the mutant, or if the mutant must be CONFORMANT."""
    return options.quick or (name not in _CONFORMANT and (name in options.mutant or name not in kept))


def _session(folder: Path, names: Sequence[str], part: Part, options: argparse.Namespace, end: float) -> list[str]:
    """Prints the results. Returns the mutants that were not detected."""
    seconds = end - time.monotonic() if options.seconds else None
    results = run_campaign(folder, names, part, jobs=options.n, whole=options.whole, seconds=seconds)
    for name, result in results.items():
        print(f"{name}: {result.verdict} {', '.join(result.tests[:2] or result.reasons[:1])}")
    left = [name for name in names if name not in results]
    print(f"{_WORDS[part]}: {len(results)} of {len(names)}; not finished: {', '.join(left) or 'none'}", flush=True)
    return [name for name, result in results.items() if not result.noticed]


def _in_turn(kinds: Sequence[Kind]) -> list[str]:
    """The control, then the mutants with the kinds in turn, so that an interrupted run has some of each kind."""
    rows = zip_longest(*(BY_KIND[kind] for kind in kinds or Kind))
    return [UNMUTATED, *(each.id for row in rows for each in row if each is not None)]


def _is_wanted(result: MutantResult | None, quick: bool) -> bool:
    """Whether the mutant has no result yet, or was only run with the gate tier, which missed it."""
    return result is None or result.inconclusive or (result.part and not quick and not result.noticed)


def _page(folder: Path, options: argparse.Namespace) -> None:
    write_mutants_page(folder, build.ROOT / "docs" / "mutants.md")


_ACTIONS = {"build": _build, "run": _run, "page": _page}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
