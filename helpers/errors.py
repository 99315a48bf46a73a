# SPDX-License-Identifier: GPL-2.0-only
"""The exceptions for what gives no result about the kernel under test."""

from __future__ import annotations


class HarnessError(Exception):
    """A failure that gives no result about the kernel.

    ``what`` failed and on what, ``why`` is the cause, ``cure`` the next step for the user.
    """

    def __init__(self, what: str, *, why: str = "", cure: str = "") -> None:
        self.what = what.rstrip(".")
        self.why = why.rstrip(".")
        self.cure = cure.rstrip(".")
        super().__init__(str(self))

    def __str__(self) -> str:
        cause = f": {self.why}" if self.why else ""
        cure = f" {self.cure}." if self.cure else ""
        return f"{self.what}{cause}.{cure}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.why, self.cure))


def _rebuild(kind: type[HarnessError], what: str, why: str, cure: str) -> HarnessError:
    """For pickle in xdist's workers, which does not support keyword arguments of exceptions."""
    return kind(what, why=why, cure=cure)


class UsageError(HarnessError):
    """The command line is wrong: exit status 4."""


class NotMeasured(Exception):
    """The conditions of a check could not be staged; nothing was learnt about the kernel.

    A suite test raises it during its setup or call. The text is the reason, such as "no write met the first KVM_RUN in
    10000 rounds"; the result of the test is "not-measured".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
