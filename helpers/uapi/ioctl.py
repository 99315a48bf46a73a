# SPDX-License-Identifier: GPL-2.0-only
"""ioctl request numbers, as include/uapi/asm-generic/ioctl.h composes them."""

from __future__ import annotations

_NRSHIFT, _TYPESHIFT, _SIZESHIFT, _DIRSHIFT = 0, 8, 16, 30
_NONE, _WRITE, _READ = 0, 1, 2


def _ioc(direction: int, kind: int, number: int, size: int) -> int:
    return direction << _DIRSHIFT | size << _SIZESHIFT | kind << _TYPESHIFT | number << _NRSHIFT


def io(kind: int, number: int) -> int:
    """_IO"""
    return _ioc(_NONE, kind, number, 0)


def ior(kind: int, number: int, size: int) -> int:
    """_IOR; ``size`` in bytes."""
    return _ioc(_READ, kind, number, size)


def iow(kind: int, number: int, size: int) -> int:
    """_IOW; ``size`` in bytes."""
    return _ioc(_WRITE, kind, number, size)


def iowr(kind: int, number: int, size: int) -> int:
    """_IOWR; ``size`` in bytes."""
    return _ioc(_READ | _WRITE, kind, number, size)
