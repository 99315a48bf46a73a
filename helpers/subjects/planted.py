# SPDX-License-Identifier: GPL-2.0-only
"""A subject whose kernel has the suite's module loaded, which emulates another dialect or one fault at a time."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError, UsageError
from helpers.executor.program import Answer, Program
from helpers.identity import SubjectId
from helpers.subjects.base import KernelDied, Subject
from helpers.subjects.debian import locked_file
from helpers.subjects.kernels import DEBIAN, Kernel
from helpers.subjects.toolroot import KernelPackage, headers_of, make_root, run_in

SOURCES = build.ROOT / "faults" / "module"
MODULE = "kvm_hvc_planted"
NO_FAULT = "none"
_PLANTED: dict[int, tuple[int, dict[str, str]]] = {}
"""By machine: its generation, and the module's parameters that were written last."""
_PARAMETERS = f"/sys/module/{MODULE}/parameters"


class Planted:
    """A subject with a dialect and a fault planted."""

    def __init__(self, inner: Subject, subject_id: SubjectId, *, keep: bool) -> None:
        self.id, self.label = subject_id, subject_id.label
        self._inner = inner
        self._parameters = {"dialect": subject_id.dialect, "fault": subject_id.fault or NO_FAULT}
        self._keep = keep
        self.generation = inner.generation

    @property
    def alive(self) -> bool:
        return self._inner.alive

    @property
    def ends(self) -> int:
        return self._inner.ends

    def launch(self) -> None:
        self._inner.launch()

    def use_processors(self, *, every: bool) -> bool:
        return self._inner.use_processors(every=every)

    def begin_test(self, seconds: float | None) -> float:
        return self._inner.begin_test(seconds)

    def begin_teardown(self, seconds: float) -> None:
        self._inner.begin_teardown(seconds)

    def start(self) -> None:
        """Also plants the dialect and the fault."""
        self._inner.start()
        if not self._is_planted():
            for parameter, value in self._parameters.items():
                _write(self._inner, parameter, value)
            self.generation = self._inner.generation
            _PLANTED[id(self._inner)] = self.generation, self._parameters

    def _is_planted(self) -> bool:
        return self._inner.alive and _PLANTED.get(id(self._inner)) == (self._inner.generation, self._parameters)

    def run(self, program: Program) -> Answer:
        if not self._is_planted():
            self.start()
        return self._inner.run(program)

    def untold(self) -> KernelDied | None:
        return self._inner.untold()

    def describe(self) -> dict[str, str]:
        return {**self._inner.describe(), **{f"planted {name}": value for name, value in self._parameters.items()}}

    def close(self) -> None:
        """Ends the machine, unless other faults will use it."""
        if not self._keep:
            self._inner.close()


def module_parameter(subject: Subject, name: str) -> str:
    """A parameter of the loaded module as text; "" if it cannot be read."""
    program = Program()
    fd = program.open(f"{_PARAMETERS}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    text = program.read(fd, 4096)
    program.close(fd)
    return subject.run(program)[text].data.decode().strip()


def _write(subject: Subject, parameter: str, value: str) -> None:
    program = Program()
    fd = program.open(f"{_PARAMETERS}/{parameter}", os.O_WRONLY | os.O_CLOEXEC)
    written = program.write(fd, value.encode())
    program.close(fd)
    answer = subject.run(program)
    if answer[fd].errno:
        raise HarnessError(
            f"The module {MODULE} is not loaded in {subject.label}",
            why=f"opening {_PARAMETERS}/{parameter} gives {answer[fd].error}",
            cure="Look for the reason in the kernel's console",
        )
    if answer[written].errno:
        what = f"The module {MODULE} has no {parameter} {value!r}"
        raise HarnessError(what, why=answer[written].error, cure="Check that the names in faults/module are the same")


def module_for(kernel: Kernel, *, mirror: str | None, progress: Callable[[str], None]) -> Path:
    """Returns the module for KERNEL, from the cache or newly built. Raises HarnessError, UsageError."""
    package = _package(kernel)
    home = kernel.image.parent
    target = home / f"{MODULE}-{_hash()}.ko"
    if target.exists():
        return target
    with locked_file(home / "module-lock", lambda: None):
        if not target.exists():
            root = home / "root"
            if not root.exists():
                make_root(root, package, mirror=mirror, progress=progress)
            progress(f"building {MODULE} for Linux {package.release}")
            _build(root, package, target)
    return target


def _package(kernel: Kernel) -> KernelPackage:
    if not kernel.label.startswith(DEBIAN):
        raise UsageError(
            f"Nothing can be planted in {kernel.label}",
            why="the module needs the kernel's headers, which are only fetched for Debian's kernels",
            cure="Give debian:SUITE, such as debian:stable",
        )
    name, version = kernel.origin.split()
    suite = kernel.label.removeprefix(DEBIAN).partition("/")[0]
    return KernelPackage(suite, name.removeprefix("linux-image-"), version)


def _sources() -> list[Path]:
    return sorted(path for path in SOURCES.iterdir() if path.suffix in (".c", ".h") or path.name == "Kbuild")


def _hash() -> str:
    return hashlib.sha256(b"\0".join(p.name.encode() + p.read_bytes() for p in _sources())).hexdigest()[:16]


def _build(root: Path, package: KernelPackage, target: Path) -> None:
    """Builds in a new folder, because with files of a failed build kbuild may call itself without end."""
    with tempfile.TemporaryDirectory(dir=root / "mod") as name:
        for source in _sources():
            shutil.copy(source, name)
        inside = f"/mod/{Path(name).name}"
        make = ("make", "-j2", "-C", headers_of(package), f"M={inside}", "ARCH=arm64", "modules")
        prefix = build.cross_prefix()
        for command in ((*make, f"CROSS_COMPILE={prefix}"), (f"{prefix}strip", "-g", f"{inside}/{MODULE}.ko")):
            process = run_in(root, *command)
            if process.returncode:
                what = f"The module {MODULE} cannot be built for Linux {package.release}"
                why = (process.stdout + process.stderr).strip()[-1500:]
                raise HarnessError(what, why=why, cure="See faults/module")
        os.replace(f"{name}/{MODULE}.ko", target)
