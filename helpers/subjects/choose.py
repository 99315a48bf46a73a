# SPDX-License-Identifier: GPL-2.0-only
"""From what the person asked for to subjects."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError, UsageError
from helpers.progress import Progress
from helpers.subjects import lab
from helpers.subjects.base import Subject
from helpers.subjects.board import PREFIX, Board
from helpers.subjects.kernels import resolve_kernel
from helpers.subjects.local import Local, local_kvm_possible
from helpers.subjects.planted import NO_FAULT, OWN_DIALECT, Planted, module_for
from helpers.subjects.qemu import BOOT_SECONDS, Qemu, qemu_path
from helpers.subjects.remote import Remote
from helpers.subjects.setting import PLAIN, Setting, setting_of

DEFAULT_KERNEL = "debian:stable"
LOCAL = "local"
CACHE = "kvm-hvc-conformance"


def labels(
    kernels: Sequence[str],
    boards: Sequence[str] = (),
    places: Sequence[str] = (),
    *,
    dialect: str = OWN_DIALECT,
    faults: Sequence[str] = (),
    settings: Sequence[Setting] = (PLAIN,),
) -> tuple[str, ...]:
    """The subjects that are meant: kernels, boards and labgrid's targets asked for, else this machine's KVM, else
    Debian stable's kernel.

    Each once for every setting, and once for every fault that is to be planted; where something is set or planted,
    never this machine's KVM unasked.
    """
    own = local_kvm_possible() and dialect == OWN_DIALECT and not faults and tuple(settings) == (PLAIN,)
    asked = (*kernels, *(PREFIX + board for board in boards), *(lab.PREFIX + place for place in places))
    chosen = tuple(dict.fromkeys(asked)) or ((LOCAL,) if own else (DEFAULT_KERNEL,))
    return tuple(
        Wanted(kernel, dialect, fault, setting).label
        for kernel in chosen
        for setting in settings
        for fault in faults or ("",)
    )


def pairs(labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """From which subject to which a VM migrates: each to itself, and to every other one's where nothing is planted.

    One machine serves all that is planted in a kernel, so that two of those are never there at the same time.
    """
    plain = [label for label in labels if wanted(label).label == wanted(label).kernel]
    return tuple((a, b) for b in labels for a in labels if a == b or (a in plain and b in plain))


def cache_directory() -> Path:
    """Where kernels are kept: the XDG cache directory, or a fresh one where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / CACHE
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    except OSError:
        pass
    return _own_temporary_folder(path)


def _own_temporary_folder(instead_of: Path) -> Path:
    """The cache where the real one cannot be written. Raises HarnessError when it is another user's."""
    path = Path(tempfile.gettempdir()) / f"{CACHE}-{os.getuid()}"
    cure = "Name a folder that can be written in XDG_CACHE_HOME"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        why = error.strerror or str(error)
        raise HarnessError(f"Neither {instead_of} nor {path} can be written", why=why, cure=cure) from None
    # Kernels from here are booted: nobody else may have put them there.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        what = f"The kernel cache {instead_of} cannot be written, and {path} is not this user's alone"
        raise HarnessError(what, cure=cure)
    return path


@dataclass(frozen=True)
class Wanted:
    """A subject's label taken apart: the kernel, and what is to be planted in it."""

    kernel: str
    dialect: str
    fault: str
    setting: Setting = PLAIN

    @property
    def label(self) -> str:
        """What the subject is called: nothing planted is ever taken for the kernel's own doing."""
        dialect = f" speaking {self.dialect}" if self.dialect != OWN_DIALECT else ""
        fault = f" with planted fault {self.fault}" if self.fault else ""
        return f"{self.kernel}{self.setting.suffix}{dialect}{fault}"


def wanted(label: str) -> Wanted:
    """The opposite of ``Wanted.label``."""
    rest, _, fault = label.partition(" with planted fault ")
    rest, _, dialect = rest.partition(" speaking ")
    kernel, setting = setting_of(rest)
    return Wanted(kernel, dialect or OWN_DIALECT, fault, setting)


@dataclass(frozen=True)
class Means:
    """What subjects are made with: where kernels come from, who hears of it, how long a boot may take (s).

    ``environment`` is labgrid's file, where there is one.
    """

    mirror: str | None
    progress: Progress
    boot_seconds: float = BOOT_SECONDS
    environment: str = ""


def subject(label: str, means: Means, warm: dict[str, Subject] | None = None) -> Subject:
    """The subject for a label, not started. Raises UsageError, HarnessError.

    ``warm`` keeps the machines in which something is planted: the next fault takes the machine of the one before.
    """
    asked = wanted(label)
    bare = f"{asked.kernel}{asked.setting.suffix}"
    if asked.label == bare:
        return _kernel(asked, False, means)
    known = {} if warm is None else warm
    if bare not in known:
        known[bare] = _kernel(asked, True, means)
    fault = asked.fault.partition(",")[0] or NO_FAULT
    return Planted(known[bare], dialect=asked.dialect, fault=fault, label=label, keep=warm is not None)


def _kernel(asked: Wanted, planted: bool, means: Means) -> Subject:
    if asked.kernel == LOCAL or asked.kernel.startswith((PREFIX, lab.PREFIX)):
        return _running(asked, planted, means)
    qemu_path()
    cache = cache_directory()
    if cache.name != CACHE:
        means.progress.line(f"the kernel cache cannot be written; keeping kernels in {cache}")
    with means.progress.steps() as say:
        kernel = resolve_kernel(asked.kernel, cache=cache, mirror=means.mirror, progress=say)
        if planted:
            module = module_for(kernel, mirror=means.mirror, progress=say)
            kernel = replace(kernel, modules=(*kernel.modules, module))
    machine = Qemu(kernel, build.INIT, setting=asked.setting, start_seconds=means.boot_seconds)
    return Remote(machine, means.progress.waiting)


def _running(asked: Wanted, planted: bool, means: Means) -> Subject:
    """A kernel that is not ours to boot: it runs here, on a board, or where labgrid boots it."""
    destination = asked.kernel.partition(":")[2]
    where = destination or "this machine"
    cure = "Choose a kernel to boot in QEMU, such as --kernel=debian:stable"
    if asked.setting != PLAIN:
        raise UsageError(f"The KVM of {where} is taken as it is", cure=cure)
    if planted:
        raise UsageError(f"Nothing is ever planted in the kernel of {where}", cure=cure)
    if asked.kernel == LOCAL:
        return Local(build.NATIVE)
    waiting, seconds = means.progress.waiting, means.boot_seconds
    if asked.kernel.startswith(lab.PREFIX):
        place = lab.LabPlace(destination, means.environment, build.INIT, waiting, start_seconds=seconds)
        return Remote(place, waiting)
    if not destination or destination.startswith("-") or not destination.isprintable() or " " in destination:
        raise UsageError(f"{destination!r} is no board", cure="Give --board=USER@HOST, or a name of ~/.ssh/config")
    return Remote(Board(destination, build.INIT, waiting, start_seconds=seconds), waiting)
