# SPDX-License-Identifier: GPL-2.0-only
"""Turn what the person names as the kernel under test into files that QEMU boots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.subjects import debian, images

DEBIAN = "debian:"


@dataclass(frozen=True)
class Kernel:
    """A kernel under test.

    ``label`` is what the person asked for, ``image`` what QEMU's ``-kernel`` boots, ``modules`` the unpacked
    .ko files for virtio over PCI and its console, in load order (empty: built in), ``origin`` where it
    came from: a Debian package with its version, or a file; ``config`` its configuration, where that came with it.
    """

    label: str
    image: Path
    modules: tuple[Path, ...]
    origin: str
    config: Path | None = None


def resolve_kernel(what: str, *, cache: Path, mirror: str | None, progress: Callable[[str], None]) -> Kernel:
    """Find the kernel WHAT: a path (arm64 Image, gzip of one, EFI zboot file) or ``debian:SUITE``.

    CACHE keeps what was fetched or unpacked, MIRROR is the Debian mirror (None: the one this machine's apt
    uses), PROGRESS receives one line before each slow step and for each thing that the person should know.
    Raises UsageError for a WHAT that cannot be, HarnessError when the kernel cannot be had.
    """
    cache = cache.absolute()
    if what.startswith(DEBIAN):
        suite = what.removeprefix(DEBIAN)
        found = debian.kernel_of_suite(suite, cache=cache, mirror=mirror, progress=progress)
        return Kernel(what, found.image, found.modules, found.origin, found.config)
    path = Path(what).expanduser().absolute()
    return Kernel(what, images.bootable_image(path, cache=cache), (), str(path))
