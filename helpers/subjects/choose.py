# SPDX-License-Identifier: GPL-2.0-only
"""From what the person asked for to subjects."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from helpers import build
from helpers.subjects.base import Subject
from helpers.subjects.kernels import resolve_kernel
from helpers.subjects.local import Local, local_kvm_possible
from helpers.subjects.qemu import Qemu, qemu_path

DEFAULT_KERNEL = "debian:stable"


def labels(kernels: Sequence[str]) -> tuple[str, ...]:
    """The subjects that are meant: the kernels asked for, else this machine's KVM, else Debian stable's kernel."""
    if kernels:
        return tuple(dict.fromkeys(kernels))
    return ("local",) if local_kvm_possible() else (DEFAULT_KERNEL,)


def cache_directory() -> Path:
    """Where kernels are kept: the XDG cache directory, or a fresh one where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "kvm-hvc-conformance"
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    except OSError:
        pass
    return Path(tempfile.gettempdir()) / f"kvm-hvc-conformance-{os.getuid()}"


def subject(label: str, *, mirror: str | None, progress: Callable[[str], None]) -> Subject:
    """The subject for a label, not started. Raises UsageError, HarnessError."""
    if label == "local":
        return Local(build.native_path())
    qemu_path()
    kernel = resolve_kernel(label, cache=cache_directory(), mirror=mirror, progress=progress)
    return Qemu(kernel, build.INIT)
