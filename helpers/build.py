# SPDX-License-Identifier: GPL-2.0-only
"""Builds what is not Python: ``python -m helpers.build``. Incremental: a file is made when its sources are newer."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.errors import HarnessError

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / ".build"
EXECUTOR = ROOT / "helpers" / "executor"
GUEST_SOURCE = ROOT / "guest_asm" / "smccc_calls.S"

INIT = OUTPUT / "init"
GUEST = OUTPUT / "smccc_calls.bin"


def _tool(name: str) -> str:
    """An aarch64 tool: the machine's own on arm64, the cross one elsewhere."""
    prefix = "" if platform.machine() == "aarch64" else "aarch64-linux-gnu-"
    path = shutil.which(prefix + name)
    if path is None:
        raise HarnessError(f"{prefix}{name} is missing", cure="Run make setup, or install a compiler for aarch64")
    return path


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"Building failed: {' '.join(map(str, command))}", why=done.stderr.strip()[-2000:])


def _init(target: Path) -> None:
    from helpers.executor.native import SOURCES

    flags = ["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-s"]
    _run(_tool("gcc"), *flags, "-o", target, *SOURCES, EXECUTOR / "init.c")


def _guest(target: Path) -> None:
    elf = target.with_suffix(".elf")
    # The blob is one section at one address: no start files, no build id before the code.
    flags = ["-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-Ttext=0x10000", "-Wl,-N"]
    _run(_tool("gcc"), *flags, "-o", elf, GUEST_SOURCE)
    _run(_tool("objcopy"), "-O", "binary", "-j", ".text", elf, target)
    elf.unlink()


def _native(target: Path) -> None:
    from helpers.executor import native

    work = OUTPUT / f"native.{os.getpid()}"
    work.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(native.build(work), target)
    shutil.rmtree(work)


def native_path() -> Path:
    """Where the in-process executor is built."""
    return OUTPUT / "_khx_native.so"


def _make(target: Path, sources: list[Path], build: Callable[[Path], None]) -> None:
    if target.exists() and target.stat().st_mtime >= max(s.stat().st_mtime for s in sources):
        return
    print(f"building {target.name}", flush=True)
    # Two sessions may build at once; a reader sees the old file or the whole new one.
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    build(temporary)
    temporary.rename(target)


def build_all() -> None:
    """Makes everything that is missing or older than its sources. Raises HarnessError."""
    OUTPUT.mkdir(exist_ok=True)
    c_sources = [*EXECUTOR.glob("*.[ch]"), EXECUTOR / "native.py"]
    _make(INIT, c_sources, _init)
    _make(GUEST, [GUEST_SOURCE], _guest)
    _make(native_path(), c_sources, _native)


def main() -> int:
    """Returns the exit status."""
    try:
        build_all()
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
