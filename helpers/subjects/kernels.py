# SPDX-License-Identifier: GPL-2.0-only
"""Turns the argument of --kernel into files that QEMU boots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import UsageError
from helpers.subjects import debian, images

DEBIAN = "debian:"


@dataclass(frozen=True)
class Kernel:
    """A kernel under test.

    ``label`` is the argument of --kernel, ``image`` the file for QEMU's ``-kernel``, ``modules`` the unpacked .ko files
    for virtio over PCI and its console, in load order (empty: built in), ``origin`` a Debian package with its version
    or a file, ``config`` the package's configuration file.
    """

    label: str
    image: Path
    modules: tuple[Path, ...]
    origin: str
    config: Path | None = None


def resolve_kernel(what: str, *, cache: Path, mirror: str | None, progress: Callable[[str], None]) -> Kernel:
    """Find the kernel WHAT: a path (arm64 Image, also compressed, or EFI zboot file), ``debian:SUITE`` or
    ``debian:SUITE/FLAVOUR``.

    CACHE is the folder for fetched and unpacked kernels, MIRROR the Debian mirror (None: this machine's apt's mirror).
    PROGRESS receives one line before each slow step, and warnings. Raises UsageError if WHAT is wrong, HarnessError if
    the kernel cannot be fetched or unpacked.
    """
    cache = cache.absolute()
    if what.startswith(DEBIAN):
        name = what.removeprefix(DEBIAN)
        kernel = debian.kernel_of_suite(name, cache=cache, mirror=mirror, progress=progress)
        return Kernel(what, kernel.image, kernel.modules, kernel.origin, kernel.config)
    try:
        path = Path(what).expanduser().absolute()
    except RuntimeError:
        cure = "Give the path without ~"
        raise UsageError(f"The home directory in --kernel={what} is unknown", cure=cure) from None
    return Kernel(what, images.bootable_image(path, cache=cache), (), str(path))
