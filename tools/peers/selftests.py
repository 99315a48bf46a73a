# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel's selftests from an unpacked linux-source, statically for arm64."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError

TESTS = ("hypercalls", "smccc_filter", "psci_test", "get-reg-list", "steal_time")
"""The selftests of KVM that touch the bitmap registers, the filter, PSCI and stolen time."""
_SELFTESTS = "tools/testing/selftests/kvm"
_INIT = Path(__file__).with_name("init.c")


def build_selftests(folder: Path) -> tuple[Path, ...]:
    """The programs of TESTS, built from FOLDER/src into FOLDER/selftests in 15 s. Raises HarnessError."""
    source, headers, output = (folder.absolute() / name for name in ("src", "headers", "selftests"))
    names = [_program(source / _SELFTESTS, name) for name in TESTS]
    cross = f"CROSS_COMPILE={build.cross_prefix()}"
    output.mkdir(exist_ok=True)
    _execute("make", "-s", "-C", str(source), f"O={headers}", "ARCH=arm64", "headers")
    # LDFLAGS on make's command line replaces the Makefile's.
    flags = ("LDFLAGS=-static -pthread -no-pie", f"KHDR_INCLUDES=-isystem {headers}/usr/include", f"OUTPUT={output}")
    programs = [output / name for name in names]
    tree = str(source / _SELFTESTS)
    _execute("make", "-s", f"-j{os.cpu_count()}", "-C", tree, "ARCH=arm64", cross, *flags, *map(str, programs))
    return tuple(programs)


def build_peers_init(target: Path) -> Path:
    """Compile init.c into TARGET. Raises HarnessError."""
    return build_static(_INIT, target)


def build_static(source: Path, target: Path) -> Path:
    """Compile a C file into a static program for arm64. Raises HarnessError."""
    _execute(build.tool_path("gcc"), "-static", "-O2", "-Wall", "-Wextra", "-s", "-o", str(target), str(source))
    return target


def _program(tree: Path, name: str) -> str:
    """A test's path below the selftests. The name of the architecture's folder differs between kernel versions."""
    places = ("arm64", "aarch64", ".")
    for place in places:
        # A file of this name in the architecture's folder is only a part of the program if the program is outside.
        if (tree / place / f"{name}.c").exists() and not (place != "." and (tree / f"{name}.c").exists()):
            return f"{place}/{name}" if place != "." else name
    raise HarnessError(f"{tree} has no test {name}", cure="Give another suite with --suite")


def _execute(*command: str) -> None:
    process = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if process.returncode:
        raise HarnessError(f"Failed: {' '.join(command)}", why=process.stderr.strip()[-2000:])


def strip_copy(programs: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Copies of PROGRAMS without debug information: a third of their size in the initramfs."""
    folder.mkdir(exist_ok=True)
    copies = tuple(folder / program.name for program in programs)
    for program, copy in zip(programs, copies, strict=True):
        _execute(f"{build.cross_prefix()}strip", "-o", str(copy), str(program))
    return copies
