# SPDX-License-Identifier: GPL-2.0-only
"""Builds the C and assembler parts: ``python -m helpers.build``. Skips a file if its sources did not change.

If the wheel is installed (``pip install .``), a checkout copies the wheel's files of the same sources. That needs no
compiler.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "kvm_hvc_conformance"
"""The package that the wheel installs."""
FOLDER = ".build"
OUTPUT = ROOT / FOLDER
EXECUTOR = ROOT / "helpers" / "executor"
GUEST_SOURCE = ROOT / "guest_asm" / "smccc_calls.S"

INIT = OUTPUT / "init"
GUEST = OUTPUT / "smccc_calls.bin"
NATIVE = OUTPUT / "_khx_native.abi3.so"


def cross_prefix() -> str:
    """The prefix of the names of aarch64 tools: empty on an arm64 machine."""
    return "" if platform.machine() == "aarch64" else "aarch64-linux-gnu-"


def _install() -> str:
    # pip builds an sdist without a checkout, and so without make setup.
    packages = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" if cross_prefix() else "gcc libc6-dev"
    return f"Run make setup, or install it (Debian: {packages}) and run again"


def tool_path(name: str) -> str:
    """The path of an aarch64 tool: gcc or objcopy. Raises HarnessError."""
    path = shutil.which(cross_prefix() + name)
    if path is None:
        raise HarnessError(f"{cross_prefix()}{name} is missing", cure=_install())
    return path


def static_libc() -> Path:
    """The C library that the executor is linked with. Raises HarnessError."""
    compiler = tool_path("gcc")
    command = (compiler, "-print-file-name=libc.a")
    # gcc prints the bare name if it does not find the file.
    path = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    if not path.is_absolute():
        raise HarnessError(f"{compiler} has no static C library", cure=_install())
    return path


def _run(*command: str | Path) -> None:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise HarnessError(f"Building failed: {' '.join(map(str, command))}", why=process.stderr.strip()[-2000:])


def _init(target: Path) -> None:
    from helpers.executor.native import SOURCES

    flags = ["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-s"]
    _run(tool_path("gcc"), *flags, "-o", target, *SOURCES, EXECUTOR / "init.c")


def _guest(target: Path) -> None:
    elf = target.with_suffix(".elf")
    # The image is one section at one address, without start files or a build ID before the code.
    flags = ["-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-Ttext=0x10000", "-Wl,-N"]
    _run(tool_path("gcc"), *flags, "-o", elf, GUEST_SOURCE)
    _run(tool_path("objcopy"), "-O", "binary", "-j", ".text", elf, target)
    elf.unlink()


def _native(target: Path) -> None:
    from helpers.executor import native

    work = target.with_name(f"native.{os.getpid()}")
    work.mkdir()
    try:
        shutil.copyfile(native.build(work), target)
    finally:
        shutil.rmtree(work)


@dataclass(frozen=True)
class _Artefact:
    """A file in the output folder, its sources, the function that builds it, and its machine."""

    name: str
    sources: tuple[Path, ...]
    make: Callable[[Path], None]
    machine: str

    def made_from(self) -> str:
        """Machine and hash of the sources. Does not depend on their times, which a checkout changes."""
        digest = hashlib.sha256()
        for source in sorted(self.sources):
            digest.update(f"{source.name} {source.stat().st_size}\n".encode() + source.read_bytes())
        return f"{self.machine} {digest.hexdigest()}\n"


def _artefacts() -> Iterator[_Artefact]:
    c_sources = (*EXECUTOR.glob("*.[ch]"), EXECUTOR / "native.py", Path(__file__))
    yield _Artefact(INIT.name, c_sources, _init, "aarch64")
    yield _Artefact(GUEST.name, (GUEST_SOURCE, Path(__file__)), _guest, "aarch64")
    # setuptools and cffi build for the platform in sysconfig, which is not this machine's when cross-compiling a wheel.
    yield _Artefact(NATIVE.name, c_sources, _native, sysconfig.get_platform())


def _record(file: Path) -> Path:
    """The file with ``made_from`` of FILE."""
    return file.with_name(f"{file.name}.made-from")


def _is_current(file: Path, made_from: str) -> bool:
    try:
        return file.exists() and _record(file).read_text() == made_from
    except OSError:
        return False


def _installed() -> Path | None:
    """The output folder of the installed wheel; None if there is no wheel."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    return next((Path(place) / FOLDER for place in places or ()), None)


def _make(artefact: _Artefact, output: Path, installed: Path | None) -> None:
    target, made_from = output / artefact.name, artefact.made_from()
    if _is_current(target, made_from):
        return
    # Two sessions may build at once. The rename is atomic: a reader sees the old or the new file.
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    if installed is not None and _is_current(installed / artefact.name, made_from):
        shutil.copy(installed / artefact.name, temporary)
    else:
        print(f"building {target.name}", flush=True)
        artefact.make(temporary)
    _record(target).unlink(missing_ok=True)
    temporary.rename(target)
    temporary.write_text(made_from)
    temporary.rename(_record(target))


def outdated() -> list[str]:
    """The names of the files that ``build_all`` would compile."""
    folders = [folder for folder in (OUTPUT, _installed()) if folder is not None]
    return [
        each.name
        for each in _artefacts()
        if not any(_is_current(folder / each.name, each.made_from()) for folder in folders)
    ]


def build_all(output: Path = OUTPUT) -> None:
    """Builds every file that is missing or whose sources have changed. Raises HarnessError."""
    installed = _installed() if output == OUTPUT else None
    try:
        output.mkdir(parents=True, exist_ok=True)
        for artefact in _artefacts():
            _make(artefact, output, installed)
    except OSError as error:
        what, why = f"The folder {output} cannot be written", error.strerror or str(error)
        raise HarnessError(what, why=why, cure="Make room, or check its owner and mode") from None


def main() -> int:
    try:
        build_all()
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
