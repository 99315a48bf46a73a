# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tools.peers.bench``: the duration of the suite's commands, compared with the kernel's own selftests.

In each turn every command runs once, so that other load on the machine affects all of them. To compare commits, use the
ratios, because the seconds depend on the machine. The selftests are the ones of tools/peers, booted in QEMU.
tools/peers/phases.py describes the phases. ``python -m tools.peers.bench_page`` makes docs/benchmark.md of the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError
from helpers.progress import Progress
from helpers.subjects.choose import cache_directory
from helpers.subjects.kernels import resolve_kernel
from tools.mutants.kernel import fetch_source
from tools.peers.bench_page import BenchRun, bench_table, machine_name
from tools.peers.boot import NO_FILE, PlanStep, peers_command, peers_initramfs
from tools.peers.phases import FILE_VARIABLE
from tools.peers.selftests import build_peers_init, build_selftests, strip_copy

SELFTESTS = "five selftests"
_SUBJECTS = ["--kvm-mode=vhe,nvhe"]
PYTEST = [".venv/bin/pytest", "-q", "-p", "tools.peers.phases"]


@dataclass(frozen=True)
class Duration:
    """One run of a command: seconds of wall clock, processor time (s) and largest process (MiB) of it and its children,
    and pytest's phases."""

    wall: float
    processor: float
    memory: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """Prints a table, and writes it as JSON. Exit status 0, or 3 if something could not be fetched, built or run."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers.bench", description=__doc__)
    parser.add_argument(
        "--kernel", default="debian:stable", help="an Image, or a Debian suite (default: debian:stable)"
    )
    parser.add_argument("--name", help="the kernel's name in the table (default: as given with --kernel)")
    parser.add_argument("--source", default="stable", help="Debian suite of the selftests' source (default: stable)")
    parser.add_argument("--turns", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this command, beside the selftests"
    )
    parser.add_argument("--json", type=Path, default=build.ROOT / "reports/bench.json")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="kvm-hvc-bench-") as folder:
            commands = _commands(options.kernel, options.source, Path(folder))
            chosen = {
                name: commands[name] for name in commands if name in {SELFTESTS, *options.only} or not options.only
            }
            durations = _measure(chosen, options.turns, Path(folder) / "phases")
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 3
    _report(durations, options.name or options.kernel, options.json)
    return 0


def _commands(kernel: str, source: str, folder: Path) -> dict[str, list[str]]:
    """The commands by name. The first one is the reference for the ratios."""
    run = [*PYTEST, f"--kernel={kernel}", f"--reports={folder / 'reports'}"]
    return {
        SELFTESTS: _selftests(kernel, source, folder),
        "all tests, -n auto": [*run, "-n", "auto"],
        "all tests, -n 0": [*run, "-n", "0"],
        "--tier gate, -n auto": [*run, "-n", "auto", "--tier=gate"],
        "--tier gate, 2 subjects": [*run, "-n", "auto", "--tier=gate", *_SUBJECTS],
        "--tier gate, 4 subjects": [
            *run,
            "-n",
            "auto",
            "--tier=gate",
            *_SUBJECTS,
            "--kernel-args=bench=1",
            "--kernel-args=bench=2",
        ],
        "one chapter, -n 0": [*run, "-n", "0", "suites/defaults"],
    }


def _selftests(kernel: str, source: str, folder: Path) -> list[str]:
    work = build.OUTPUT / "mutants" / source
    fetch_source(work, source)
    found = resolve_kernel(kernel, cache=cache_directory(), mirror=None, progress=Progress().line)
    tests = strip_copy(build_selftests(work), work / "stripped")
    initrd = folder / "initrd"
    plan = [PlanStep(NO_FILE, "none")]
    initrd.write_bytes(peers_initramfs(build_peers_init(work / "peers-init"), tests, plan, found.modules))
    return peers_command(found.image, initrd)


def _measure(commands: dict[str, list[str]], turns: int, phases: Path) -> dict[str, list[Duration]]:
    """The durations by command, without a first turn that fills the caches. Raises HarnessError if a command fails."""
    durations: dict[str, list[Duration]] = {name: [] for name in commands}
    for turn in range(turns + 1):
        for name, command in commands.items():
            duration = _run(name, command, phases)
            if turn:
                durations[name].append(duration)
                print(f"turn {turn} of {turns}: {duration.wall:6.1f} s  {name}", flush=True)
    return durations


def _run(name: str, command: list[str], phases: Path) -> Duration:
    phases.unlink(missing_ok=True)
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command, cwd=build.ROOT, env=os.environ | {FILE_VARIABLE: str(phases)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        # Only wait4(2) has the usage of this process and its children alone.
        _, status, used = os.wait4(process.pid, 0)
        wall, process.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        why = f"exit status {process.returncode}: {printed[-500:]}"
        raise HarnessError(f"{name} failed", why=why, cure=f"Run it alone: {' '.join(command)}")
    found = json.loads(phases.read_text("utf-8")) if phases.exists() else {}
    return Duration(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, found)


def _report(durations: dict[str, list[Duration]], kernel: str, path: Path) -> None:
    commands = {name: [asdict(one) for one in each] for name, each in durations.items()}
    run = BenchRun(kernel, machine_name(), SELFTESTS, commands)
    print(f"\n{run.kernel}, {run.machine}\n\n{bench_table(run)}")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(run), indent=1), "utf-8")
    print(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
