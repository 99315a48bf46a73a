# SPDX-License-Identifier: GPL-2.0-only
"""Kernel images of a test's own, and the resolution of --kernel."""

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


def resolve(what: str, cache: Path, mirror: str | None = None) -> tuple[Kernel, list[str]]:
    lines: list[str] = []
    return resolve_kernel(what, cache=cache, mirror=mirror, progress=lines.append), lines
