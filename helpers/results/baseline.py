# SPDX-License-Identifier: GPL-2.0-only
"""The baseline: a TOML file that waives listed failures, with one table for each:

    [[deviation]]
    clause = "LOCK-2"               # or test = "suites/lock/test_lock.py::test_same_value*"
    subject = "debian:*"
    reason = "Our 6.6 backport lacks the fix; it is queued for the next release."
    url = "https://example.org/bug/1"
    until = 2027-01-31              # the last day on which it is valid

An entry with a clause waives a result only if the baseline has an entry for every clause that the result's test checks.
The schema is docs/schema/baseline.schema.json.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from helpers.errors import UsageError
from helpers.results.columns import Column
from helpers.results.records import Result

_CURE = (
    "Give each [[deviation]] a clause or a test, a subject, a reason and a url as text, and until as a date such as"
    " 2027-01-31"
)


@dataclass(frozen=True)
class Waiver:
    """One entry: a clause or a pattern of node ids, on the subjects that match a pattern; until is the last day."""

    clause: str
    test: str
    subject: str
    reason: str
    url: str
    until: date

    def __post_init__(self) -> None:
        """Raises ValueError without exactly one of clause and test, or without a subject, a reason or a url."""
        if bool(self.clause) == bool(self.test):
            raise ValueError("it must name either a clause or a test")
        blank = [name for name in ("subject", "reason", "url") if not getattr(self, name).strip()]
        if blank:
            raise ValueError(f"it has no {', no '.join(blank)}")

    @property
    def name(self) -> str:
        """The entry in messages, such as "LOCK-2 on debian:*"."""
        return f"{self.clause or self.test} on {self.subject}"

    def concerns(self, column: Column, result: Result) -> bool:
        """Whether the entry names the result, or one of the result's clauses."""
        if not fnmatchcase(column.name, self.subject):
            return False
        return fnmatchcase(result.nodeid, self.test) if self.test else self.clause in result.clauses


def read_baseline(path: Path) -> tuple[Waiver, ...]:
    """The entries. Raises UsageError if the file cannot be read or an entry, given by its number, is wrong."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"The baseline {path} cannot be read", why=why, cure="Name a TOML file") from None
    entries = values.pop("deviation", [])
    if values or not isinstance(entries, list):
        what = f"The baseline {path} has {', '.join(values) or 'another deviation'} instead of [[deviation]] tables"
        raise UsageError(what, cure=_CURE)
    return tuple(_waiver(each, f"{path}, deviation {number}") for number, each in enumerate(entries, 1))


def _waiver(values: object, where: str) -> Waiver:
    names = [field.name for field in fields(Waiver)]
    try:
        entry = msgspec.convert(values, dict[str, Any])
        unknown = sorted(entry.keys() - names)
        if unknown:
            raise ValueError(f"it has unknown keys: {', '.join(unknown)}")
        if "until" not in entry:
            raise ValueError("it has no until")
        # Missing keys become empty texts, so that Waiver rejects all of them in one message.
        return msgspec.convert(dict.fromkeys(names, "") | entry, Waiver)
    except ValueError as error:
        raise UsageError(f"{where} is not a valid entry", why=str(error), cure=_CURE) from None
