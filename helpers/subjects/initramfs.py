# SPDX-License-Identifier: GPL-2.0-only
"""Creates the initramfs with the executor as /init and the modules that it loads.

Format: Documentation/driver-api/early-userspace/buffer-format.rst ("newc"). The program cpio is not used, because it
needs a package, and mknod for /dev/console needs root.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import HarnessError

_FOLDERS = ("dev", "proc", "sys", "modules")
_CONSOLE = (5, 1)
"""Major and minor number of /dev/console (Documentation/admin-guide/devices.txt)."""


@dataclass(frozen=True)
class ArchiveEntry:
    """One file, folder, link (``data`` is the target) or device node; ``mode`` as in stat(2)."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def build_initramfs(init: Path, modules: Sequence[Path]) -> bytes:
    """Return a cpio archive with INIT as /init and MODULES as /modules/00-NAME.ko, 01-..., in load order.

    It also has the folders /dev, /proc, /sys and the node /dev/console, which the kernel opens as /init's standard
    output. The same input gives the same bytes. Raises HarnessError if a file cannot be read.
    """
    entries = [ArchiveEntry(name, stat.S_IFDIR | 0o755) for name in _FOLDERS]
    entries.append(ArchiveEntry("dev/console", stat.S_IFCHR | 0o600, device=_CONSOLE))
    entries.append(ArchiveEntry("init", stat.S_IFREG | 0o755, _read(init)))
    for number, module in enumerate(modules):
        name = f"modules/{number:02}-{module.name}"
        entries.append(ArchiveEntry(name, stat.S_IFREG | 0o644, _read(module)))
    return archive(entries)


def archive(entries: Sequence[ArchiveEntry]) -> bytes:
    """The cpio archive with ENTRIES, owned by root. A folder must precede its files."""
    trailer = ArchiveEntry("TRAILER!!!", 0)
    return b"".join(_encode(inode, entry) for inode, entry in enumerate((*entries, trailer), start=1))


def _encode(inode: int, entry: ArchiveEntry) -> bytes:
    """One entry: 14 fields of 8 hexadecimal digits, name and data, each padded to 4 bytes."""
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"The file {path} for the initramfs cannot be read"
        raise HarnessError(what, why=error.strerror or str(error), cure="Run make setup") from None
