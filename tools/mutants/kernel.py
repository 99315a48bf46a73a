# SPDX-License-Identifier: GPL-2.0-only
"""Fetches the linux-source of a Debian suite, and builds the kernel with all mutants from it.

The work folder contains ``src`` (the source tree), ``pristine`` (the unchanged files of KVM), ``out`` (the output of
kbuild), and the logs of runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError
from helpers.subjects.apt import Apt, check_tools, choose_mirror
from tools.mutants.mutant import Mutant
from tools.mutants.schemata import put_into

FRAGMENT = Path(__file__).with_name("kernel.config")
_MUTATED = ("arch/arm64/kvm", "arch/arm64/include/asm", "virt/kvm")
_PACKAGE = re.compile(r"linux-source-[0-9.]+")
_CROSS_COMPILER = "gcc-aarch64-linux-gnu"
_PROGRAMS = {"make": "make", "gcc": "gcc", "flex": "flex", "bison": "bison", "bc": "bc", "xz": "xz-utils"}
"""The Debian packages of the programs that the build needs. Of the host's headers it needs only those of libc6-dev."""


def check_build_tools() -> None:
    """Raise HarnessError if this machine lacks a program that the build needs."""
    cross = {f"{build.cross_prefix()}gcc": _CROSS_COMPILER} if build.cross_prefix() else {}
    missing = {program: package for program, package in (_PROGRAMS | cross).items() if not shutil.which(program)}
    if missing:
        what = f"The kernel cannot be built: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        install = f"apt-get install --no-install-recommends {' '.join(missing.values())}"
        raise HarnessError(what, cure=f"As root, run {install}")


def fetch_source(folder: Path, suite: str, mirror: str | None = None) -> None:
    """Unpack the source of SUITE's kernel into FOLDER (1.7 GB), if it is not there. Raises HarnessError, UsageError."""
    if (folder / "pristine").exists():
        return
    check_tools()
    folder.mkdir(parents=True, exist_ok=True)
    apt = Apt(folder / "apt", suite, choose_mirror(mirror), "all")
    apt.prepare()
    apt.update()
    package = _PACKAGE.search(apt.show("linux-source").get("Depends", ""))
    if package is None:
        raise HarnessError(f"debian:{suite} has no package linux-source", cure="Give another suite with --suite")
    version = apt.show(package[0])["Version"]
    for deb in apt.download({package[0]: version}, folder):
        _run("dpkg-deb", "-x", str(deb), str(folder / "deb"))
        deb.unlink()
    (tree,) = (folder / "deb").rglob("linux-source-*.tar.xz")
    (folder / "src").mkdir(exist_ok=True)
    _run("tar", "-C", str(folder / "src"), "--strip-components=1", "-xf", str(tree))
    shutil.rmtree(folder / "deb")
    keep_pristine(folder)


def keep_pristine(folder: Path) -> None:
    """Copy the files that mutants change. The copy is renamed when complete: its presence marks a complete source."""
    for name in _MUTATED:
        shutil.copytree(folder / "src" / name, folder / "pristine.new" / name)
    (folder / "pristine.new").rename(folder / "pristine")


def build_kernel(folder: Path, mutants: Sequence[Mutant]) -> dict[str, str]:
    """Build FOLDER's Image with MUTANTS. Returns the mutants that this kernel version has no place for, and why.

    The first build takes ten minutes on two processors. A later build compiles only changed files.
    """
    reasons = put_into(folder / "pristine", folder / "src", mutants)
    if not (folder / "out/.config").exists():
        (folder / "out").mkdir(exist_ok=True)
        make(folder, "allnoconfig")
        merge = str((folder / "src/scripts/kconfig/merge_config.sh").absolute())
        _run(merge, "-m", "-O", ".", ".config", str(FRAGMENT), cwd=folder / "out")
        make(folder, "olddefconfig")
    make(folder, f"-j{os.cpu_count()}", "Image")
    _numbers(folder).write_text(_ids(mutants), "utf-8")
    return reasons


def image(folder: Path, mutants: Sequence[Mutant]) -> Path:
    """The built kernel. Raises HarnessError if it does not exist or was built with other mutants."""
    if not _numbers(folder).exists() or _numbers(folder).read_text("utf-8") != _ids(mutants):
        raise HarnessError(f"{folder} has no kernel with these mutants", cure="Run python -m tools.mutants build")
    return folder / "out/arch/arm64/boot/Image"


def _numbers(folder: Path) -> Path:
    return folder / "out/mutants"


def _ids(mutants: Sequence[Mutant]) -> str:
    return "".join(f"{mutant.id}\n" for mutant in mutants)


def release(folder: Path) -> str:
    """The version of the source, such as "6.12.117"."""
    text = (folder / "src/Makefile").read_text("utf-8")
    return ".".join(re.findall(r"^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", text, re.MULTILINE))


def make(folder: Path, *targets: str) -> None:
    """Run kbuild for arm64."""
    out = f"O={(folder / 'out').absolute()}"
    cross = f"CROSS_COMPILE={build.cross_prefix()}"
    _run("make", "-s", "-C", str(folder / "src"), out, "ARCH=arm64", cross, *targets)


def _run(*command: str, cwd: Path | None = None) -> None:
    process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    if process.returncode:
        raise HarnessError(f"Failed: {' '.join(command)}", why=process.stderr.strip()[-2000:])
