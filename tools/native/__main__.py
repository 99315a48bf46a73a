# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tools.native``: the cost of a register access in process, beside a loop in C.

Both run on an arm64 machine with Debian stable's kernel and Python, emulated on this one. Compare the ratios.
``python -m tools.peers.bench_page --native`` adds the table to docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError
from helpers.progress import Progress
from helpers.subjects.choose import cache_directory
from helpers.subjects.kernels import resolve_kernel
from tests.support import native_vm
from tools.peers.bench_page import Turn, native_table
from tools.peers.selftests import build_static

KERNEL = "debian:stable"
_LOOP = Path(__file__).with_name("one_reg_loop.c")
_SECONDS = 1200.0
_SCRIPT = """
python -m pip install -q --no-index /home/member/*.whl
cd /home/member/checkout
python -m tools.native.side /home/member/loop >/tmp/member/turns
"""


def measure(folder: Path) -> list[Turn]:
    """The ns of one access by case, for each turn. Raises HarnessError."""
    cache = cache_directory()
    kernel = resolve_kernel(KERNEL, cache=cache, mirror=None, progress=Progress().line)
    home = folder / "home"
    native_vm.copy_checkout(home / "checkout")
    shutil.move(native_vm.wheel(folder), home)
    build_static(_LOOP, home / "loop")
    base = native_vm.userland(kernel, cache / "native")
    try:
        console = native_vm.run(kernel, base, folder, {"member": _SCRIPT}, seconds=_SECONDS)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"The arm64 machine did not end within {_SECONDS:.0f} s", cure="Run again, alone") from None
    turns = folder / "member/turns"
    if not turns.exists() or not turns.read_text("utf-8"):
        raise HarnessError("The arm64 machine measured nothing", why=console[-2000:])
    return [json.loads(line) for line in turns.read_text("utf-8").splitlines()]


def main(arguments: Sequence[str]) -> int:
    """Prints a table, and writes the turns as JSON. Exit status 0, or 3 if something could not be built or run."""
    parser = argparse.ArgumentParser(prog="python -m tools.native", description=__doc__)
    parser.add_argument("--json", type=Path, default=build.ROOT / "reports/native.json")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="kvm-hvc-native-") as folder:
            turns = measure(Path(folder))
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 3
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(turns, indent=1), "utf-8")
    print(f"{native_table(turns)}\n\n{options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
