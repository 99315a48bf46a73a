# SPDX-License-Identifier: GPL-2.0-only
"""Names of registers, values and errnos in messages."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Protocol


class RegisterLike(Protocol):
    """A register in a ONE_REG call."""

    @property
    def name(self) -> str: ...
    @property
    def id(self) -> int: ...


@dataclass(frozen=True)
class RegisterId:
    """A register id, and a name for messages."""

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
