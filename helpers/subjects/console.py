# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's console: excerpts of bounded size, and the likely cause of a failed boot. No result depends on it."""

from __future__ import annotations

import re
from pathlib import Path

_BYTES, _LINES, _WIDTH = 64 << 10, 40, 500
_FIRST, _LAST = 40, 80
"""Lines of an excerpt. An oops has about 70 lines and begins with its cause."""

_NO_PORT = "khx: no virtio-serial port"
_OBSTACLE = re.compile(r"khx: (cannot (?:mount|load) .*?)(?: \((CONFIG_\w+) is not set\))?$", re.MULTILINE)
"""The message of init.c if it cannot mount a file system or load a module. Both can be the cause of a missing port."""
_CAUSES = (
    (_NO_PORT, "the kernel has no driver for PCI, virtio-pci or virtio-console",
     "Build it with CONFIG_PCI_HOST_GENERIC=y, CONFIG_VIRTIO_PCI=y and CONFIG_VIRTIO_CONSOLE=y. Give a"
     " Debian kernel with these modules as debian:SUITE/FLAVOUR, which loads them"),
    ("Out of memory and no killable processes", "it ran out of memory",
     "Give a smaller kernel or one without debug options"),
    ("Initramfs unpacking failed", "the kernel could not unpack the initramfs",
     "Build it with CONFIG_BLK_DEV_INITRD=y, and check its console for a lack of memory"),
    ("Unable to mount root fs", "the kernel did not use the initramfs", "Build it with CONFIG_BLK_DEV_INITRD=y"),
    ("No working init found", "the kernel could not start /init", "Build it with CONFIG_BINFMT_ELF=y"),
    ("Requested init /init failed", "the kernel could not start /init", "Build it with CONFIG_BINFMT_ELF=y"),
)  # fmt: skip


def printable_text(text: str) -> str:
    """A kernel's text for a terminal or a report: without control characters, and with lines cut to _WIDTH."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join("".join(c if c.isprintable() else "." for c in line[:_WIDTH]) for line in lines)


def size(path: Path) -> int:
    """The number of bytes printed so far."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_output_time(path: Path) -> float:
    """The time (time.time()) of the last output; 0 if nothing was printed."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_mtime if status.st_size else 0


def tail(path: Path) -> str:
    """The last lines of the console."""
    return "\n".join(_lines(path, max(0, size(path) - _BYTES))[-_LINES:])


def excerpt(path: Path, since: int) -> str:
    """The console's text after the first ``since`` bytes. Of a long text, only the beginning and the end."""
    last = max(since, size(path) - _BYTES)
    lines = _lines(path, last)
    if last == since and len(lines) <= _FIRST + _LAST:
        return "\n".join(lines)
    first = _lines(path, since)[:_FIRST]
    return "\n".join([*first, "[...]", *lines[-_LAST:]])


def _lines(path: Path, since: int) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(since)
            data = file.read(_BYTES)
    except OSError:
        return []
    return printable_text(data.decode("utf-8", "replace")).strip("\n").split("\n")


def last_panic(printed: str) -> str:
    """The last panic's line without its timestamp; "" if there is none."""
    panics = re.findall(r"Kernel panic - not syncing: .*", printed)
    return str(panics[-1]) if panics else ""


def executor_error(printed: str) -> str:
    """Why the executor stopped; "" if it did not."""
    match = re.search(r"khx: cannot serve: (.*)", printed)
    return match[1] if match else ""


def boot_cause(printed: str) -> tuple[str, str] | None:
    """The likely cause of a failed boot from the console's text, and the cure; None if unknown."""
    obstacles = _OBSTACLE.findall(printed) if _NO_PORT in printed else []
    if obstacles:
        options = " and ".join(f"{option}=y" for _, option in obstacles if option)
        cure = f"Build it with {options}" if options else "Look at the console's last lines"
        return "; ".join(line for line, _ in obstacles), cure
    for text, why, cure in _CAUSES:
        if text in printed:
            return why, cure
    panic = last_panic(printed)
    return (f"it panicked: {panic}", "Look at the console's last lines") if panic else None
