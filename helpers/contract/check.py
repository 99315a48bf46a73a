# SPDX-License-Identifier: GPL-2.0-only
"""Compares answers, and reports every wrong one with the expected value."""

from __future__ import annotations

import errno

from helpers.smccc import show_registers
from helpers.uapi.notation import error_name


class Comparison:
    """Collects differences; ``done()`` raises AssertionError with all of them, or if nothing was compared."""

    def __init__(self) -> None:
        self._wrong: list[str] = []
        self._compared = 0

    def that(self, holds: bool, what: str, expected: str, actual: str) -> None:
        self._compared += 1
        if not holds:
            self._wrong.append(f"{what}\n    expected: {expected}\n    actual:   {actual}")

    def error(self, what: str, expected: int, actual: int | None) -> None:
        """The errno of a call; 0 is success."""
        got = "no answer" if actual is None else error_name(actual)
        self.that(actual == expected, what, error_name(expected), got)

    def value(self, what: str, expected: int, actual: int | None) -> None:
        """A register's value; None if the read failed."""
        got = "a read that fails" if actual is None else f"{actual:#x}"
        self.that(actual == expected, what, f"{expected:#x}", got)

    def x(self, what: str, expected: tuple[int, ...], actual: tuple[int, ...]) -> None:
        """Result registers from x0 on."""
        self.that(actual == expected, what, show_registers(expected), show_registers(actual))

    def done(self) -> None:
        # Makes pytest show the caller's line instead of this function.
        __tracebackhide__ = True
        assert self._compared, "nothing was compared"
        shown = self._wrong[:20]
        more = len(self._wrong) - len(shown)
        text = "\n".join(shown) + (f"\n… and {more} more" if more else "")
        assert not self._wrong, f"{len(self._wrong)} of {self._compared} comparisons failed:\n{text}"


EBUSY, EINVAL = errno.EBUSY, errno.EINVAL
