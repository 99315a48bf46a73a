# SPDX-License-Identifier: GPL-2.0-only
"""A subject whose kernel carries our module, which speaks another dialect or has one named fault at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError, UsageError
from helpers.executor.program import Answer, Program
from helpers.identity import SubjectId
from helpers.subjects.base import KernelDied, Subject
from helpers.subjects.kernels import DEBIAN, Kernel
from helpers.subjects.toolroot import KernelPackage, cross_prefix, headers_of, make_root, run_in

SOURCES = build.ROOT / "faults" / "module"
MODULE = "kvm_hvc_planted"
NO_FAULT = "none"
_HELD: dict[int, tuple[int, dict[str, str]]] = {}
"""By machine: its generation, and what is planted in it."""
_PARAMETERS = f"/sys/module/{MODULE}/parameters"


class Planted:
    """A subject with a dialect and a fault planted: an ordinary one to its users, but for its name."""

    def __init__(self, inner: Subject, subject_id: SubjectId, *, keep: bool) -> None:
        self.id, self.label = subject_id, subject_id.label
        self._inner = inner
        self._chosen = {"dialect": subject_id.dialect, "fault": subject_id.fault or NO_FAULT}
        self._keep = keep
        self.generation = inner.generation

    @property
    def alive(self) -> bool:
        """Whether it is started."""
        return self._inner.alive

    def launch(self) -> None:
        """Begins to start the kernel underneath."""
        self._inner.launch()

    def begin_test(self, seconds: float) -> None:
        """A test begins."""
        self._inner.begin_test(seconds)

    def begin_teardown(self, seconds: float) -> None:
        """The test is over."""
        self._inner.begin_teardown(seconds)

    def start(self) -> None:
        """Makes it answer, with what was asked for planted. Raises HarnessError."""
        self._inner.start()
        if not self._is_planted():
            for parameter, value in self._chosen.items():
                _write(self._inner, parameter, value)
            self.generation = self._inner.generation
            _HELD[id(self._inner)] = self.generation, self._chosen

    def _is_planted(self) -> bool:
        return self._inner.alive and _HELD.get(id(self._inner)) == (self._inner.generation, self._chosen)

    def run(self, program: Program) -> Answer:
        """Runs one program."""
        if not self._is_planted():
            self.start()
        return self._inner.run(program)

    def untold(self) -> KernelDied | None:
        """Of the kernel underneath."""
        return self._inner.untold()

    def describe(self) -> dict[str, str]:
        """What is known of the kernel underneath, and what was planted."""
        return {**self._inner.describe(), **{f"planted {name}": value for name, value in self._chosen.items()}}

    def close(self) -> None:
        """Ends the kernel underneath, unless it is kept for others."""
        if not self._keep:
            self._inner.close()


def _write(subject: Subject, parameter: str, value: str) -> None:
    program = Program()
    fd = program.open(f"{_PARAMETERS}/{parameter}", os.O_WRONLY | os.O_CLOEXEC)
    done = program.write(fd, value.encode())
    program.close(fd)
    answer = subject.run(program)
    if answer[fd].errno:
        raise HarnessError(
            f"The module {MODULE} is not loaded in {subject.label}",
            why=f"opening {_PARAMETERS}/{parameter} gives {answer[fd].error}",
            cure="Look for it in the kernel's console",
        )
    if answer[done].errno:
        raise HarnessError(f"The module {MODULE} has no {parameter} {value!r}", why=answer[done].error)


def module_for(kernel: Kernel, *, mirror: str | None, progress: Callable[[str], None]) -> Path:
    """The module built for KERNEL, kept beside it in the cache. Raises HarnessError, UsageError."""
    package = _package(kernel)
    home = kernel.image.parent
    target = home / f"{MODULE}-{_hash()}.ko"
    if target.exists():
        return target
    with _locked(home):
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
            why="the module needs the headers of the kernel, which only Debian's packages bring",
            cure="Give debian:SUITE, such as debian:stable",
        )
    name, version = kernel.origin.split()
    return KernelPackage(kernel.label.removeprefix(DEBIAN), name.removeprefix("linux-image-"), version)


def _sources() -> list[Path]:
    return sorted(path for path in SOURCES.iterdir() if path.suffix in (".c", ".h") or path.name == "Kbuild")


def _hash() -> str:
    return hashlib.sha256(b"\0".join(p.name.encode() + p.read_bytes() for p in _sources())).hexdigest()[:16]


def _build(root: Path, package: KernelPackage, target: Path) -> None:
    """In a clean folder each time: what kbuild leaves after a failure can make it call itself for ever."""
    with tempfile.TemporaryDirectory(dir=root / "mod") as name:
        for source in _sources():
            shutil.copy(source, name)
        inside = f"/mod/{Path(name).name}"
        make = ("make", "-j2", "-C", headers_of(package), f"M={inside}", "ARCH=arm64", "modules")
        cross = f"CROSS_COMPILE={cross_prefix()}"
        for command in ((*make, cross), (f"{cross_prefix()}strip", "-g", f"{inside}/{MODULE}.ko")):
            done = run_in(root, *command)
            if done.returncode:
                what = f"The module {MODULE} cannot be built for Linux {package.release}"
                raise HarnessError(what, why=(done.stdout + done.stderr).strip()[-1500:], cure="See faults/module")
        os.replace(f"{name}/{MODULE}.ko", target)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "module-lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
