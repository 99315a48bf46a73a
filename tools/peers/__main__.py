# SPDX-License-Identifier: GPL-2.0-only
"""The command: run the kernel's selftests on each planted fault or each mutant, and keep the results."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from faults.catalogue import FAULTS
from faults.fault import CONTROL, MAINLINE
from helpers import build
from helpers.errors import HarnessError
from helpers.progress import Progress
from helpers.subjects.choose import cache_directory
from helpers.subjects.kernels import resolve_kernel
from helpers.subjects.planted import MODULE, module_for
from tools.mutants.catalogue import MUTANTS
from tools.mutants.kernel import fetch_source, image
from tools.mutants.peers_log import FAULTS_NAME, MUTANTS_NAME, Statuses, noticing, peers_file, read_statuses
from tools.mutants.schemata import PARAMETER
from tools.peers.boot import PeerResult, PlanStep, peers_initramfs, run_peers
from tools.peers.selftests import build_peers_init, build_selftests, strip_copy

_MUTANT_FILE = f"/sys/module/kernel/parameters/{PARAMETER}"
_FAULT_FILE = f"/sys/module/{MODULE}/parameters/fault"


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, or 3 if something could not be fetched, built or run."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers", description=__doc__)
    parser.add_argument("what", choices=[FAULTS_NAME, MUTANTS_NAME])
    parser.add_argument("--suite", default="stable", help="Debian suite of the source and the kernel (default: stable)")
    parser.add_argument("--work", type=Path, help="folder of tools.mutants")
    parser.add_argument("--seconds", type=float, default=3600, help="limit for one boot (default: 3600)")
    options = parser.parse_args(arguments)
    folder = (options.work or build.OUTPUT / "mutants" / options.suite).absolute()
    try:
        fetch_source(folder, options.suite)
        _compare(folder, options)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


def _compare(folder: Path, options: argparse.Namespace) -> None:
    kernel, modules, control, steps = _faults(options.suite) if options.what == FAULTS_NAME else _mutants(folder)
    path = peers_file(folder, options.what)
    statuses = read_statuses(path)
    # Shuffled, so that the results of an interrupted run are a sample of all.
    todo = sorted((name for name in steps if name not in statuses), key=lambda name: zlib.crc32(name.encode()))
    tests = strip_copy(build_selftests(folder), folder / "stripped")
    init = build_peers_init(folder / "peers-init")
    enough = True
    while todo and enough:
        plan = [control, *(steps[name] for name in todo)]
        with tempfile.TemporaryDirectory(prefix="kvm-hvc-peers-") as name:
            initrd = Path(name) / "initrd"
            initrd.write_bytes(peers_initramfs(init, tests, plan, modules))
            results, enough = run_peers(kernel, initrd, seconds=options.seconds)
        by_value = _by_value(results)
        statuses[CONTROL] = by_value.get(control.value, {})
        complete = [each for each in todo if len(by_value.get(steps[each].value, {})) == len(tests)]
        statuses |= {each: by_value[steps[each].value] for each in complete}
        todo = [each for each in todo if each not in complete]
        if todo and enough:
            # The kernel died during this fault or mutant.
            statuses[todo[0]] = by_value.get(steps[todo[0]].value, {}) | {"kernel": "died"}
            todo = todo[1:]
        path.write_text(json.dumps(statuses, indent=1), "utf-8")
    failing = [test for test, status in statuses.get(CONTROL, {}).items() if status != "0"]
    if failing:
        print(f"selftests that are not counted, because they fail without a fault: {', '.join(failing)}")
    noticed = sum(bool(noticing(each, statuses)) for each in steps if each in statuses)
    print(f"{noticed} of {sum(each in statuses for each in steps)} detected by the selftests; {path}")


def _by_value(results: Sequence[PeerResult]) -> Statuses:
    statuses: Statuses = {}
    for each in results:
        statuses.setdefault(each.value, {})[each.test] = each.status
    return statuses


def _mutants(folder: Path) -> tuple[Path, tuple[Path, ...], PlanStep, dict[str, PlanStep]]:
    steps = {mutant.id: PlanStep(_MUTANT_FILE, str(number)) for number, mutant in enumerate(MUTANTS, 1)}
    return image(folder, MUTANTS), (), PlanStep(_MUTANT_FILE, "0"), steps


def _faults(suite: str) -> tuple[Path, tuple[Path, ...], PlanStep, dict[str, PlanStep]]:
    progress = Progress().line
    kernel = resolve_kernel(f"debian:{suite}", cache=cache_directory(), mirror=None, progress=progress)
    module = module_for(kernel, mirror=None, progress=progress)
    kernel = replace(kernel, modules=(*kernel.modules, module))
    steps = {fault.id: PlanStep(_FAULT_FILE, fault.id) for fault in FAULTS if MAINLINE in fault.dialects}
    return kernel.image, kernel.modules, PlanStep(_FAULT_FILE, CONTROL), steps


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
