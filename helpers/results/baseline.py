# SPDX-License-Identifier: GPL-2.0-only
"""The baseline: a TOML file that waives listed failures and accepts unknown services, with one table for each:

    [[deviation]]
    clause = "LOCK-2"               # or test = "suites/lock/test_lock.py::test_same_value*"
    subject = "debian:*"
    reason = "Our 6.6 backport lacks the fix; it is queued for the next release."
    url = "https://example.org/bug/1"
    until = 2027-01-31              # the last day on which it is valid

    [[accept-unknown]]
    service = "VENDOR_HYP:2"        # as in the verdict NEWER-THAN-SUITE
    subject = "debian:*"
    reason = "Our own service; its selftest is in the same series."
    url = "https://example.org/2"
    until = 2027-01-31

An entry with a clause waives a result only if the baseline has an entry for every clause that the result's test checks.
The schema is docs/schema/baseline.schema.json.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from dataclasses import dataclass, fields
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from helpers.errors import UsageError
from helpers.results.columns import Column
from helpers.results.records import Result

_ACCEPT = "accept-unknown"
SERVICE_NAME = re.compile(r"[A-Z][A-Z0-9_]*(:[0-9]+(\.[0-9]+)?)?")
"""The names of unknown services, such as VENDOR_HYP:2, BMAP_4 and PSCI:1.4."""
_CURE = (
    "Give each [[deviation]] a clause or a test, each [[accept-unknown]] a service, and both a subject, a reason and a"
    " url as text, and until as a date such as 2027-01-31"
)


def service_name(text: str) -> str:
    """The type of an option for an unknown service. Raises argparse.ArgumentTypeError for another text."""
    if not SERVICE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of an unknown service, such as VENDOR_HYP:2")
    return text


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
        """The name of the entry in messages, such as "LOCK-2 on debian:*"."""
        return f"{self.clause or self.test} on {self.subject}"

    def concerns(self, column: Column, result: Result) -> bool:
        """Whether the entry names the result, or one of the result's clauses."""
        if not fnmatchcase(column.name, self.subject):
            return False
        return fnmatchcase(result.nodeid, self.test) if self.test else self.clause in result.clauses


@dataclass(frozen=True)
class Acceptance:
    """One accepted unknown service on the subjects that match a pattern; until is the last day."""

    service: str
    subject: str
    reason: str
    url: str
    until: date

    def __post_init__(self) -> None:
        """Raises ValueError for another service name, or without a subject, a reason or a url."""
        if not SERVICE_NAME.fullmatch(self.service):
            raise ValueError(f"{self.service!r} is not the name of an unknown service, such as VENDOR_HYP:2")
        blank = [name for name in ("subject", "reason", "url") if not getattr(self, name).strip()]
        if blank:
            raise ValueError(f"it has no {', no '.join(blank)}")

    @property
    def name(self) -> str:
        """The entry in messages, such as "VENDOR_HYP:2 on debian:*"."""
        return f"{self.service} on {self.subject}"

    def accepts(self, label: str, service: str) -> bool:
        """Whether the entry names this unknown service of the subject with this label."""
        return service == self.service and fnmatchcase(label, self.subject)


Entry = TypeVar("Entry", Waiver, Acceptance)


def read_baseline(path: Path) -> tuple[Waiver, ...]:
    """The waivers. Raises UsageError if the file cannot be read or an entry, given by its number, is wrong."""
    entries = _tables(path)["deviation"]
    return tuple(_entry(each, f"{path}, deviation {number}", Waiver) for number, each in enumerate(entries, 1))


def read_acceptances(path: Path) -> tuple[Acceptance, ...]:
    """The accepted unknown services. Raises UsageError as read_baseline does."""
    entries = _tables(path)[_ACCEPT]
    return tuple(_entry(each, f"{path}, {_ACCEPT} {number}", Acceptance) for number, each in enumerate(entries, 1))


def _tables(path: Path) -> dict[str, list[object]]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"The baseline {path} cannot be read", why=why, cure="Name a TOML file") from None
    tables = {name: values.pop(name, []) for name in ("deviation", _ACCEPT)}
    wrong = [*values, *(f"another {name}" for name, entries in tables.items() if not isinstance(entries, list))]
    if wrong:
        what = f"The baseline {path} has {', '.join(wrong)} instead of [[deviation]] and [[{_ACCEPT}]] tables"
        raise UsageError(what, cure=_CURE)
    return tables


def _entry(values: object, where: str, kind: type[Entry]) -> Entry:
    names = [field.name for field in fields(kind)]
    try:
        entry = msgspec.convert(values, dict[str, Any])
        unknown = sorted(entry.keys() - names)
        if unknown:
            raise ValueError(f"it has unknown keys: {', '.join(unknown)}")
        if "until" not in entry:
            raise ValueError("it has no until")
        # Missing keys become empty texts, so that the type rejects all of them in one message.
        return msgspec.convert(dict.fromkeys(names, "") | entry, kind)
    except ValueError as error:
        raise UsageError(f"{where} is not a valid entry", why=str(error), cure=_CURE) from None
