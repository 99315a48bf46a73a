# SPDX-License-Identifier: GPL-2.0-only
"""Creates kernel images for tests, and resolves --kernel."""

from __future__ import annotations

import struct
from pathlib import Path

from helpers.subjects.kernels import Kernel, resolve_kernel


def arm64_image(*, flags: int = 0, size: int = 5000) -> bytes:
    header = bytearray(64)
    header[:2] = b"MZ"
    struct.pack_into("<Q", header, 24, flags)
    header[56:60] = b"ARM\x64"
    return bytes(header) + bytes(n * n % 251 for n in range(size))


def zboot(name: str, payload: bytes, *, payload_size: int | None = None) -> bytes:
    """An EFI zboot file. As in the kernel's build, the unpacked size follows the stream, except for gzip."""
    payload += b"" if name == "gzip" else struct.pack("<I", 5064)
    size = len(payload) if payload_size is None else payload_size
    head = b"MZ\0\0zimg" + struct.pack("<IIII", 128, size, 0, 0) + name.encode().ljust(32, b"\0")
    return head.ljust(128, b"\0") + payload + bytes(16)


def resolve(what: str, cache: Path, mirror: str | None = None) -> tuple[Kernel, list[str]]:
    lines: list[str] = []
    return resolve_kernel(what, cache=cache, mirror=mirror, progress=lines.append), lines


def resolve_content(tmp_path: Path, data: bytes) -> Kernel:
    """Resolve a file with DATA, tmp_path/kernel."""
    file = tmp_path / "kernel"
    file.write_bytes(data)
    return resolve(str(file), tmp_path / "cache")[0]
