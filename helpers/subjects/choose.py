# SPDX-License-Identifier: GPL-2.0-only
"""Creates subject ids and subjects from the options of the command line."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from helpers import build
from helpers.errors import HarnessError, UsageError
from helpers.identity import LOCAL, OWN_DIALECT, PLAIN, BootVariant, Reach, SubjectId
from helpers.progress import Progress
from helpers.subjects import lab
from helpers.subjects.base import Subject
from helpers.subjects.board import Board
from helpers.subjects.kernels import resolve_kernel
from helpers.subjects.local import Local, processor
from helpers.subjects.planted import Planted, module_for
from helpers.subjects.qemu import BOOT_SECONDS, Qemu, qemu_path
from helpers.subjects.remote import Remote
from helpers.subjects.turns import NoTurns, Turns

DEFAULT_KERNEL = "debian:stable"
LOCAL_KERNEL = "local"
"""The argument of --kernel for this machine's KVM. A file of that name is given as ./local."""
ARM64 = "aarch64"
CACHE = "kvm-hvc-conformance"

Plant = tuple[str, int | None]
"""A fault to plant, and the number if it is a control of a proof. A tuple, because xdist can send that to workers."""


def boot_variants(
    modes: Sequence[str], cpus: Sequence[str], arguments: Sequence[str], qemu: Sequence[str] = ()
) -> tuple[BootVariant, ...]:
    """Every combination of the values; an empty list leaves the default."""
    return tuple(
        BootVariant(*each) for each in product(*(values or ("",) for values in (modes, cpus, arguments, qemu)))
    )


def subject_ids(
    kernels: Sequence[str],
    boards: Sequence[str] = (),
    places: Sequence[str] = (),
    *,
    dialect: str = OWN_DIALECT,
    plants: Sequence[Plant] = (),
    variants: Sequence[BootVariant] = (PLAIN,),
) -> tuple[SubjectId, ...]:
    """The given kernels, boards and labgrid places, each with every variant and every fault to plant.

    If none is given: on arm64 this machine's KVM, else Debian stable. Debian stable is also the default if a variant, a
    fault or a dialect is given. This machine's KVM is the default even if it cannot be used, because the run must not
    test another kernel than the user expects.
    """
    own = processor() == ARM64 and dialect == OWN_DIALECT and not plants and tuple(variants) == (PLAIN,)
    explicit = (
        *(LOCAL if kernel == LOCAL_KERNEL else SubjectId(kernel) for kernel in kernels),
        *(SubjectId(board, Reach.BOARD) for board in boards),
        *(SubjectId(place, Reach.LABGRID) for place in places),
    )
    chosen = tuple(dict.fromkeys(explicit)) or ((LOCAL,) if own else (SubjectId(DEFAULT_KERNEL),))
    return tuple(
        SubjectId(each.name, each.reach, dialect, fault, control, variant)
        for each in chosen
        for variant in variants
        for fault, control in plants or (("", None),)
    )


def cache_directory() -> Path:
    """The folder for kernels: in the XDG cache directory, or a temporary one if that cannot be written.

    It is also temporary if the user has no HOME and no passwd entry, as in a container on OpenShift.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    path = Path(base or "~/.cache") / CACHE
    try:
        path = path if base else path.expanduser()
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    except (OSError, RuntimeError):
        # pathlib raises RuntimeError for an unknown home directory.
        pass
    return _own_temporary_folder(path)


def _own_temporary_folder(instead_of: Path) -> Path:
    """The cache if the XDG one cannot be written. Raises HarnessError if another user can write to it."""
    path = Path(tempfile.gettempdir()) / f"{CACHE}-{os.getuid()}"
    cure = "Name a folder that can be written in XDG_CACHE_HOME"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        why = error.strerror or str(error)
        raise HarnessError(f"Neither {instead_of} nor {path} can be written", why=why, cure=cure) from None
    # Kernels are booted from this folder, so no other user may be able to write to it.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        what = f"The kernel cache {instead_of} cannot be written, and another user can write to {path}"
        raise HarnessError(what, cure=cure)
    return path


@dataclass(frozen=True)
class Means:
    """Debian mirror, progress lines, boot timeout in seconds (None: the default), labgrid's environment file or "",
    whether a start in QEMU always boots instead of using a snapshot, and the turns of programs on this machine."""

    mirror: str | None
    progress: Progress
    boot_seconds: float | None = None
    environment: str = ""
    cold_boot: bool = False
    turns: Turns = field(default_factory=NoTurns)


def make_subject(subject_id: SubjectId, means: Means, warm: dict[SubjectId, Subject] | None = None) -> Subject:
    """The subject, not started. Raises UsageError, HarnessError.

    ``warm`` contains the running machines with the module, because all faults of a kernel share one machine.
    """
    machine = subject_id.machine
    if subject_id == machine:
        return _kernel(machine, False, means)
    machines = {} if warm is None else warm
    if machine not in machines:
        machines[machine] = _kernel(machine, True, means)
    return Planted(machines[machine], subject_id, keep=warm is not None)


def _kernel(machine: SubjectId, planted: bool, means: Means) -> Subject:
    if machine.reach is not Reach.KERNEL:
        return _running(machine, planted, means)
    qemu_path()
    cache = cache_directory()
    if cache.name != CACHE:
        means.progress.line(f"the kernel cache cannot be written; keeping kernels in {cache}")
    with means.progress.steps() as begin_step:
        kernel = resolve_kernel(machine.name, cache=cache, mirror=means.mirror, progress=begin_step)
        if planted:
            module = module_for(kernel, mirror=means.mirror, progress=begin_step)
            kernel = replace(kernel, modules=(*kernel.modules, module))
    snapshots = None if means.cold_boot else cache / "snapshots"
    qemu = Qemu(kernel, build.INIT, variant=machine.variant, start_seconds=means.boot_seconds, snapshots=snapshots)
    # Raises UsageError for a wrong --cpu now instead of at the first boot.
    _ = qemu.cpu
    return Remote(qemu, means.progress.waiting, means.turns)


def _running(machine: SubjectId, planted: bool, means: Means) -> Subject:
    """A kernel that this suite does not boot: on this machine, on a board, or on a labgrid target."""
    name = machine.name
    where = name or "this machine"
    cure = "Choose a kernel to boot in QEMU, such as --kernel=debian:stable"
    if machine.variant != PLAIN:
        raise UsageError(f"The kernel of {where} cannot be booted with other options", cure=cure)
    if planted:
        raise UsageError(f"Nothing can be planted in the kernel of {where}", cure=cure)
    if machine.reach is Reach.LOCAL:
        if processor() != ARM64:
            what = f"--kernel={LOCAL_KERNEL} needs an arm64 machine: this one is {processor()}"
            raise UsageError(what, cure=f"{cure}; give a file of that name as ./{LOCAL_KERNEL}")
        return Local(build.NATIVE, means.turns)
    waiting, seconds = means.progress.waiting, means.boot_seconds or BOOT_SECONDS
    if machine.reach is Reach.LABGRID:
        place = lab.LabPlace(name, means.environment, build.INIT, waiting, start_seconds=seconds)
        return Remote(place, waiting)
    if not name or name.startswith("-") or not name.isprintable() or " " in name:
        raise UsageError(f"{name!r} is no board", cure="Give --board=USER@HOST, or a host of ~/.ssh/config")
    return Remote(Board(name, build.INIT, waiting, start_seconds=seconds), waiting)
