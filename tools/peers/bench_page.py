# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tools.peers.bench_page FILE...``: docs/benchmark.md and its plot, from the JSON of the benchmark."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from helpers import build
from helpers.subjects.qemu import qemu_path, qemu_version

PAGE, PLOT, COUNTS = (
    build.ROOT / name for name in ("docs/benchmark.md", "docs/benchmark.svg", "tests/kernel/counts.json")
)
Turn = dict[str, float]
"""The ns of one access by case."""
Sample = dict[str, object]
"""One run of a command: asdict() of tools.peers.bench.Duration."""

_HEAD = """\
<!-- SPDX-License-Identifier: GPL-2.0-only -->
# Benchmark

Written by `python -m tools.peers.bench_page`; do not edit.

The time of the suite's commands, from the command to its end, beside the five selftests of KVM that test the same
interface. The selftests are built from Debian's linux-source, and booted in QEMU on the same kernel. In each turn every
command runs once. The numbers are medians over the turns; a ratio is computed within each turn. Compare ratios, because
seconds depend on the machine.

    make bench ARGS="--json=reports/bench.json"
    .venv/bin/python -m tools.peers.bench_page reports/bench.json

`start` is the time from the start of the process to the first test's set-up, with the collection of the tests. The
kernel starts at the same time, so `boot` is only the wait after that. `reports` are the reports and the end of the
session. `MiB` is the largest process of the command, which is QEMU or the selftests' machine.

![The time of each command](benchmark.svg)
"""

_COUNTS = """\
## Calls of the kernel

The numbers of round trips between pytest and the kernel, of operations in them, and of VMs. They do not depend on the
machine. `tests/kernel/test_counts.py` fails if one of them grows.

| chapter | tests | round trips | operations | VMs |
|---|---|---|---|---|
"""

_NATIVE = """\
## Register accesses in process

On an arm64 machine pytest calls the executor in its own process. The time of one KVM_GET_ONE_REG or KVM_SET_ONE_REG, in
ns, beside a loop in C. "listed": the program contains every access, as in most tests; most of the time is Python's.
"repeated": it repeats a single one, as in races. The machine is emulated (`python -m tools.native`).

"""

_BAR, _LEFT, _WIDTH, _RIGHT = 26, 190, 560, 150
"""Measures of the plot in pixels: the height of a bar, the space for names, the longest bar, the space for numbers."""
_COLOURS = {"start": "#8da0cb", "boot": "#e5c494", "tests": "#66c2a5", "reports": "#fc8d62", "": "#b3b3b3"}


@dataclass(frozen=True)
class BenchRun:
    """The samples of each command on one kernel. ``reference`` is the command of the ratios."""

    kernel: str
    machine: str
    reference: str
    commands: dict[str, list[Sample]]


def machine_name() -> str:
    """The processors, memory and QEMU of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} processors ({model}), {memory:.0f} GiB, {qemu_version(qemu_path())}"


def bench_table(run: BenchRun) -> str:
    """A Markdown table with a row for each command."""
    names = ("command", "turns", "seconds", "processor seconds", "MiB", *list(_COLOURS)[:4], "ratio to the selftests")
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, samples in run.commands.items():
        phases = [f"{value:.1f}" if (value := _median(samples, phase)) else "" for phase in list(_COLOURS)[:4]]
        pairs = zip(samples, run.commands[run.reference], strict=True)
        ratio = statistics.median(_number(one, "wall") / _number(other, "wall") for one, other in pairs)
        seconds = (f"{_median(samples, each):.1f}" for each in ("wall", "processor"))
        numbers = (len(samples), *seconds, f"{_median(samples, 'memory'):.0f}")
        rows.append("| " + " | ".join(map(str, (name, *numbers, *phases, f"{ratio:.1f}"))) + " |")
    return "\n".join(rows)


def native_table(turns: Sequence[Turn]) -> str:
    """A Markdown table with a row for each case. A ratio is computed within each turn."""
    rows = ["| access | ns | ratio to the C loop |", "|---|---|---|"]
    for name in turns[0]:
        loop = f"C loop, {name.rpartition(' ')[2]}"
        ratio = statistics.median(turn[name] / turn[loop] for turn in turns)
        rows.append(f"| {name} | {statistics.median(turn[name] for turn in turns):.0f} | {ratio:.1f} |")
    return "\n".join(rows)


def _number(sample: Sample, name: str) -> float:
    """A duration or a phase in seconds; 0 for a phase that the command does not have."""
    phases = sample["phases"]
    assert isinstance(phases, dict)
    return float(str(sample.get(name, phases.get(name, 0.0))))


def _median(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(_number(sample, name) for sample in samples)


def benchmark_page(runs: Sequence[BenchRun], counts: dict[str, dict[str, int]], native: Sequence[Turn] = ()) -> str:
    """docs/benchmark.md, with the section of ``native`` if it has turns."""
    parts = [_HEAD]
    parts += [f"## {run.kernel}\n\n{run.machine}.\n\n{bench_table(run)}\n" for run in runs]
    parts += [f"{_NATIVE}{native_table(native)}\n"] if native else []
    rows = [f"| {name} | " + " | ".join(map(str, numbers.values())) + " |" for name, numbers in counts.items()]
    return "\n".join([*parts, _COUNTS + "\n".join(rows) + "\n"])


def benchmark_plot(runs: Sequence[BenchRun]) -> str:
    """An SVG image with a bar for each command, divided into its phases."""
    longest = max(_median(samples, "wall") for run in runs for samples in run.commands.values())
    parts, y = [_legend()], 2 * _BAR
    for run in runs:
        parts.append(_text(8, y, run.kernel, bold=True))
        y += _BAR
        for name, samples in run.commands.items():
            parts += [_text(8, y, name), *_bar(samples, y, lambda seconds: seconds / longest * _WIDTH)]
            y += _BAR
        y += _BAR // 2
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{y}"'
    style = "<style>text{font:13px sans-serif}rect.back{fill:#fff}</style>"
    back = '<rect class="back" width="100%" height="100%"/>'
    comment = "<!-- SPDX-License-Identifier: GPL-2.0-only -->"
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', comment, style, back, *parts, "</svg>", ""])


def _legend() -> str:
    names = [(name or "selftests with their boot", colour) for name, colour in _COLOURS.items()]
    boxes = [
        f'<rect x="{_LEFT + 90 * at}" y="10" width="12" height="12" fill="{colour}"/>'
        + _text(_LEFT + 90 * at + 17, 0, name)
        for at, (name, colour) in enumerate(names)
    ]
    return "\n".join(boxes)


def _text(x: float, y: int, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y + 20}"{weight}>{escape(text)}</text>'


def _bar(samples: Sequence[Sample], y: int, width: Callable[[float], float]) -> list[str]:
    x, parts, wall = float(_LEFT), [], _median(samples, "wall")
    phases = {name: _median(samples, name) for name in _COLOURS if name}
    # A command without phases is one bar.
    for name, seconds in phases.items() if any(phases.values()) else [("", wall)]:
        box = (
            f'<rect x="{x:.1f}" y="{y + 6}" width="{width(seconds):.1f}" height="{_BAR - 8}" fill="{_COLOURS[name]}"/>'
        )
        parts.append(box)
        x += width(seconds)
    return [*parts, _text(x + 6, y, f"{wall:.1f} s")]


def main(arguments: Sequence[str]) -> int:
    """Writes the page and the plot. Exit status 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers.bench_page", description=__doc__)
    parser.add_argument("file", nargs="+", type=Path, help="a file of python -m tools.peers.bench")
    parser.add_argument("--native", type=Path, help="the file of python -m tools.native")
    options = parser.parse_args(arguments)
    native = json.loads(options.native.read_text("utf-8")) if options.native else ()
    runs = [BenchRun(**json.loads(path.read_text("utf-8"))) for path in options.file]
    PAGE.write_text(benchmark_page(runs, json.loads(COUNTS.read_text("utf-8")), native), "utf-8")
    PLOT.write_text(benchmark_plot(runs), "utf-8")
    print(f"{PAGE}\n{PLOT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
