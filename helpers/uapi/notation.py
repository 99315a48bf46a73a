# SPDX-License-Identifier: GPL-2.0-only
"""How registers, values and errnos are named in messages."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Protocol


class RegisterLike(Protocol):
    """What ONE_REG calls need to know of a register."""

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> int: ...


@dataclass(frozen=True)
class RegisterId:
    """A register that is nothing but an id with a name for messages."""

    name: str
    id: int


def error_name(number: int) -> str:
    """An errno's name; "success" for 0."""
    return errno.errorcode.get(number, f"errno {number}") if number else "success"


def show_bits(value: int) -> str:
    """``value`` in hexadecimal, and its set bits."""
    bits = [str(b) for b in range(64) if value >> b & 1]
    if len(bits) > 8:
        return f"{value:#x}"
    return f"{value:#x} (bits {', '.join(bits)})" if bits else "0x0 (no bit)"
