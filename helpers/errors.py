# SPDX-License-Identifier: GPL-2.0-only
"""The one exception for what goes wrong in the harness, never in the kernel under test."""

from __future__ import annotations


class HarnessError(Exception):
    """Something outside the contract failed: no result about the kernel follows from it.

    ``what`` says what happened and to what, ``why`` the cause, ``cure`` what the person can do next.
    """

    def __init__(self, what: str, *, why: str = "", cure: str = "") -> None:
        self.what = what.rstrip(".")
        self.why = why.rstrip(".")
        self.cure = cure.rstrip(".")
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += f": {self.why}"
        text += "."
        if self.cure:
            text += f" {self.cure}."
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.why, self.cure))


def _rebuild(kind: type[HarnessError], what: str, why: str, cure: str) -> HarnessError:
    """Exceptions with keyword arguments do not pickle; xdist workers need it."""
    return kind(what, why=why, cure=cure)


class UsageError(HarnessError):
    """The command line asks for something that cannot be: exit status 4."""
